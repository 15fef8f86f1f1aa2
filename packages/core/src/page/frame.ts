import { type Html, html } from './html.ts'

/** How every page begins, up to what its own head says. */
export const pageStart: Html = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">`

/** The sign of Flow402x, in the colour of the text around it. */
export const brandSign: Html = html`<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M3 8c3.5-4 6.5-4 9 0s5.5 4 9 0M3 16c3.5-4 6.5-4 9 0s5.5 4 9 0"/></svg>`
