/** The members of an object that are there, neither `undefined` nor `null`: for options that may not be named where they are not told. */
export function present<Members extends object>(members: Members): { [Name in keyof Members]?: Exclude<Members[Name], undefined | null> } {
  const kept = Object.entries(members).filter(([, value]) => value != null)
  // Only members that are nothing were taken out.
  return Object.fromEntries(kept) as { [Name in keyof Members]?: Exclude<Members[Name], undefined | null> }
}
