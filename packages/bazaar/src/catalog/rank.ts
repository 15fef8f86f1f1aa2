import type { Candidate, ListingHealth, ListingOwner, ListingRatings, Standing } from '@flow402x/core/bazaar'
import { wordsAsked } from '@flow402x/core/bazaar'

/** What a listing's place is counted from. */
export type Merits = { readonly health: ListingHealth; readonly owner: ListingOwner; readonly ratings: ListingRatings }

// What a rating is worth before anybody is heard: three stars by two trusted payers.
const prior = { stars: 3, weight: 2 }

/**
 * What payers say, as it counts (M34). Wallets of one funder are one voice, the seller's own are none, and a voice grows with the
 * unrelated sellers that it has paid too: who pays only here counts a tenth, and no number of payments makes it more.
 */
export function ratingsOf({ payers, ratings }: Standing): ListingRatings {
  const voices = new Map(payers.map(({ cluster, unrelatedSellers: others }) => [cluster, 0.1 + 0.9 * (others / (others + 2))]))
  const said = new Map<string, { readonly stars: number[]; readonly weight: number }>()
  for (const { cluster, stars } of ratings) {
    const weight = voices.get(cluster)
    if (weight === undefined) continue
    const one = said.get(cluster) ?? { stars: [], weight }
    one.stars.push(stars)
    said.set(cluster, one)
  }
  const heard = [...said.values()].map(({ stars, weight }) => ({ stars: mean(stars), weight }))
  const weight = sum(heard.map((one) => one.weight))
  const average = weight === 0 ? {} : { average: round(sum(heard.map((one) => one.stars * one.weight)) / weight) }
  return { ...average, count: heard.length, weight: round(weight), payers: voices.size, trust: round(sum([...voices.values()])) }
}

/** From 0 to 1: where a listing stands among others that answer a question equally well. What nobody vouches for stays below a third. */
export function qualityOf({ health, owner, ratings }: Merits): number {
  const { average, weight, trust } = ratings
  const paid = 1 - Math.exp(-trust / 2)
  const stars = ((average ?? prior.stars) * weight + prior.stars * prior.weight) / (weight + prior.weight)
  const merit = 0.15 + 0.05 * Number(owner.verified) + 0.55 * paid + 0.25 * ((stars - 1) / 4)
  return merit * health.score
}

// Of one owner at most so many stand before everybody else's.
const mostOfOne = 3

/** Candidates in the order in which a buyer is shown them: by quality, words in names and tags first, no owner filling the page. */
export function ranked(candidates: readonly Candidate[], words: string): readonly Candidate[] {
  const asked = wordsAsked(words)
  const scored = candidates.map((candidate) => ({ candidate, score: candidate.quality * (0.85 + 0.15 * shareOf(candidate, asked)) }))
  const seen = new Map<string, number>()
  return scored
    .toSorted((a, b) => b.score - a.score)
    .map(({ candidate }, place) => {
      const { origin, payee } = candidate
      const counts = [`origin ${origin}`, `payee ${payee}`].map((owner) => {
        const count = (seen.get(owner) ?? 0) + 1
        seen.set(owner, count)
        return count
      })
      return { candidate, place, turn: Math.floor((Math.max(...counts) - 1) / mostOfOne) }
    })
    .toSorted((a, b) => a.turn - b.turn || a.place - b.place)
    .map(({ candidate }) => candidate)
}

/** How much of a question stands where a listing names itself; repeating a word adds nothing. */
function shareOf({ terms }: Candidate, asked: readonly string[]): number {
  if (asked.length === 0) return 0
  const own = ` ${terms} `
  return mean(asked.map((word) => (own.includes(` n:${word} `) ? 1 : own.includes(` ${word} `) ? 0.3 : 0)))
}

function mean(values: readonly number[]): number {
  return sum(values) / Math.max(values.length, 1)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
