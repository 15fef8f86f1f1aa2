/** One thing that must hold: a sentence, and the public page or the section of the references it comes from. */
export type Requirement = { readonly text: string; readonly link: string }
