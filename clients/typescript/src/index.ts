import createClient, { type Client, type ClientOptions } from "openapi-fetch";

import type { paths } from "./schema.js";

export type * from "./schema.js";

/** What `mainstay` is told. All that openapi-fetch takes, `fetch` and `headers` among it, can be said too. */
export interface MainstayOptions extends ClientOptions {
  /** Where the server is, as in `https://api.example.com`. */
  baseUrl: string;
  /** Asked before each request for the access token to send; `undefined` sends none. */
  accessToken?: () => string | undefined;
}

/** Every operation, by method and path. */
export type Mainstay = Client<paths>;

/** A client of the server at `baseUrl`. */
export function mainstay({ accessToken, ...options }: MainstayOptions): Mainstay {
  const client = createClient<paths>({
    ...options,
    // Lists are separated by commas: `?sort=-created_at,title`.
    querySerializer: { array: { style: "form", explode: false } },
  });
  if (accessToken !== undefined) {
    client.use({
      onRequest({ request }) {
        const token = accessToken();
        if (token !== undefined) {
          request.headers.set("Authorization", `Bearer ${token}`);
        }
        return request;
      },
    });
  }
  return client;
}
