export { type Deliverer, type DeliverOptions, type DeliveryEvent, deliverWebhooks, type Webhook } from './outbox/webhook.ts'
