import { type AxiosInstance, getAdapter, type InternalAxiosRequestConfig } from 'axios'
import type { Client } from './engine/client.ts'

/**
 * Makes an axios instance pay, and returns it: it goes through axios's own fetch adapter with the client's `fetch`. Options
 * that only axios's Node adapter has (`proxy`, `httpAgent`, a number of `maxRedirects`) have no effect.
 *
 * Errors: axios's as usual; an error of the client is the `cause` of the one axios throws, which `client.resume` takes as it
 * is. `receiptOf` reads the receipt of axios's response.
 */
export function withPayments(instance: AxiosInstance, client: Pick<Client, 'fetch'>): AxiosInstance {
  instance.defaults.adapter = async (config) => {
    const adapter = getAdapter('fetch', { env: { ...config.env, fetch: client.fetch } })
    return await adapter(await withPlainBody(config))
  }
  return instance
}

/** Outside browsers axios's fetch adapter mislabels forms and blobs, and does not read the forms of the package form-data. */
async function withPlainBody(config: InternalAxiosRequestConfig): Promise<InternalAxiosRequestConfig> {
  const body: unknown = config.data
  if (body instanceof FormData || body instanceof Blob) {
    const response = new Response(body)
    const type = response.headers.get('Content-Type')
    if (type !== null) config.headers.setContentType(type)
    return { ...config, data: await response.arrayBuffer() }
  }
  if (!isFormStream(body)) return config
  for (const [name, value] of Object.entries(body.getHeaders())) if (/^content-type$/i.test(name)) config.headers.setContentType(value)
  return { ...config, data: await new Response(chunksOf(body)).arrayBuffer() }
}

type FormStream = {
  getHeaders(): Record<string, string>
  on(event: string, listener: (value: unknown) => void): unknown
  resume(): unknown
}

function isFormStream(body: unknown): body is FormStream {
  if (typeof body !== 'object' || body === null || Symbol.asyncIterator in body) return false
  return ['getHeaders', 'on', 'resume'].every((name) => name in body)
}

function chunksOf(form: FormStream): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      form.on('data', (chunk) => controller.enqueue(chunk instanceof Uint8Array ? chunk : new TextEncoder().encode(String(chunk))))
      form.on('end', () => controller.close())
      form.on('error', (error) => controller.error(error))
      form.resume()
    },
  })
}
