import type { Listing } from '@flow402x/core/bazaar'

/** The address of a listing's own page. */
export function resourcePath({ resource, method, toolName }: Pick<Listing, 'resource' | 'method' | 'toolName'>): string {
  const url = method === 'MCP' && toolName != null ? `${resource}#${toolName}` : resource
  return `/resource?${new URLSearchParams({ url, method })}`
}
