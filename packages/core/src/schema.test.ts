import { expect, test } from 'vitest'
import * as z from 'zod/mini'
import { bazaarDeclaration } from './bazaar/judge.ts'
import { discoveryItem, listing } from './bazaar/listing.ts'
import { ratingRequest, ratingResponse } from './bazaar/rating.ts'
import { discoveryFound, discoveryList, listingStatus, publishedRatings, registerRequest } from './bazaar/routes.ts'
import { wellKnown } from './bazaar/well-known.ts'
import { claimStatusRequest, claimStatusResponse, facilitatorRequest } from './protocol/facilitator.ts'
import { paymentPayload, paymentRequired, paymentRequirements, resourceInfo } from './protocol/payment.ts'
import { settleResponse, supportedResponse, verifyResponse } from './protocol/settlement.ts'
import { controlEvent, laneMessage, tickAnswer } from './stream/messages.ts'
import { streamInfo } from './stream/offer.ts'
import { facilitatorRequestV1, paymentPayloadV1, paymentRequiredV1, paymentRequirementsV1 } from './v1.ts'

// `npx vitest run packages/core/src/schema.test.ts -u` writes the files anew.
test.each([
  ['resource-info', resourceInfo],
  ['payment-required', paymentRequired],
  ['payment-requirements', paymentRequirements],
  ['payment-payload', paymentPayload],
  ['verify-response', verifyResponse],
  ['settle-response', settleResponse],
  ['supported-response', supportedResponse],
  ['facilitator-request', facilitatorRequest],
  ['claim-status-request', claimStatusRequest],
  ['claim-status-response', claimStatusResponse],
  ['stream-info', streamInfo],
  ['stream-lane-message', laneMessage],
  ['stream-tick-answer', tickAnswer],
  ['stream-control-event', controlEvent],
  ['payment-required-v1', paymentRequiredV1],
  ['payment-requirements-v1', paymentRequirementsV1],
  ['payment-payload-v1', paymentPayloadV1],
  ['facilitator-request-v1', facilitatorRequestV1],
  ['bazaar-declaration', bazaarDeclaration],
  ['discovery-item', discoveryItem],
  ['discovery-list', discoveryList],
  ['discovery-found', discoveryFound],
  ['listing', listing],
  ['listing-status', listingStatus],
  ['register-request', registerRequest],
  ['rating-request', ratingRequest],
  ['rating-response', ratingResponse],
  ['published-ratings', publishedRatings],
  ['well-known', wellKnown],
] as const)('schema/%s.json says what the schema in the code says', async (name, schema) => {
  const json = z.toJSONSchema(schema, { io: 'input', override: readable })
  await expect(`${JSON.stringify(json, null, 2)}\n`).toMatchFileSnapshot(`../schema/${name}.json`)
})

// Two defaults of JSON Schema are left unsaid: that peers may add members, and that names are strings.
function readable({ jsonSchema }: { jsonSchema: Record<string, unknown> }): void {
  for (const key of ['additionalProperties', 'propertyNames'] as const) {
    const said = JSON.stringify(jsonSchema[key])
    if (said === '{}' || said === '{"type":"string"}') delete jsonSchema[key]
  }
}
