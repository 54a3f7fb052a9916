// The TypeScript client against the real server: compiled strictly, then run by `cargo xtask conformance clients`.
// What must not compile is marked `@ts-expect-error`, so a type that grows loose fails here too.

import assert from "node:assert/strict";

import { mainstay, type PostId, type PostView, type Problem } from "mainstay-client";

const baseUrl = process.env["MAINSTAY_URL"];
assert(baseUrl, "MAINSTAY_URL says where the server is");

let token: string | undefined;
const api = mainstay({ baseUrl, accessToken: () => token });
const credentials = { email: "typescript@example.org", password: "eleven paper lighthouses" };

/** What an operation must have answered; the problem says why it did not. */
function answered<T>(result: { data?: T; error?: Problem }): T {
  assert.equal(result.error, undefined, JSON.stringify(result.error));
  assert(result.data !== undefined, "an answer without a body");
  return result.data;
}

// Register, log in, who am I.
const account = answered(
  await api.POST("/api/v1/auth/register", { body: { ...credentials, display_name: "TypeScript" } }),
);
const role: "user" | "admin" = account.role;
assert.equal(role, "user");
token = answered(await api.POST("/api/v1/auth/login", { body: credentials })).access_token;
assert.equal(answered(await api.GET("/api/v1/users/me")).id, account.id);

// Create; `published` has a default and can be left out.
const made = await api.POST("/api/v1/posts", { body: { title: "Post 0", body: "The first." } });
const first: PostView = answered(made);
assert.equal(first.published, false);
assert.equal(made.response.headers.get("Location"), `/api/v1/posts/${first.id}`);

// Read, and read again what has not changed.
const path = { id: first.id };
const read = await api.GET("/api/v1/posts/{id}", { params: { path } });
assert.deepEqual(answered(read), first);
const tag = read.response.headers.get("ETag");
assert(tag, "a GET carries an ETag");
assert.equal(tag, made.response.headers.get("ETag"));
const again = await api.GET("/api/v1/posts/{id}", { params: { path }, headers: { "If-None-Match": tag } });
assert.equal(again.response.status, 304);

// Change it, once: the second change names a state that is gone.
const header = { "If-Match": tag };
const changed = answered(
  await api.PATCH("/api/v1/posts/{id}", { params: { path, header }, body: { published: true } }),
);
assert.equal(changed.published, true);
assert.equal(changed.title, "Post 0");
const late = await api.PATCH("/api/v1/posts/{id}", { params: { path, header }, body: { title: "Lost" } });
assert.equal(late.response.status, 412);
assert.equal(late.error?.code, "precondition_failed");

// List with a filter in brackets and cursors, to the end.
for (let number = 1; number < 7; number += 1) {
  answered(await api.POST("/api/v1/posts", { body: { title: `Post ${number}`, body: "More.", published: true } }));
}
const titles: (string | null | undefined)[] = [];
let pages = 0;
for (let cursor: string | null | undefined; cursor !== null; ) {
  const page = answered(
    await api.GET("/api/v1/posts", {
      params: {
        query: {
          author_id: account.id,
          "created_at[gte]": first.created_at,
          "title[in]": ["Post 1", "Post 2", "Post 3", "Post 4", "Post 5"],
          sort: ["-title", "created_at"],
          limit: 2,
          total: true,
          ...(cursor === undefined ? {} : { cursor }),
        },
      },
    }),
  );
  assert.equal(page.total, 5);
  titles.push(...page.items.map((item) => item.title));
  cursor = page.next_cursor;
  pages += 1;
}
assert.deepEqual(titles, ["Post 5", "Post 4", "Post 3", "Post 2", "Post 1"]);
assert.equal(pages, 3);

// Some fields, and what belongs to another domain.
const part = answered(
  await api.GET("/api/v1/posts/{id}", { params: { path, query: { fields: ["id", "title"], include: ["author"] } } }),
);
assert.deepEqual(Object.keys(part).sort(), ["author", "id", "title"]);
assert("author" in part && part.author?.display_name === "TypeScript");

// Every fault of a bad body, with its types.
const bad = await api.POST("/api/v1/posts", { body: { title: "", body: "x".repeat(100_001) } });
assert.equal(bad.response.status, 422);
const faults = (bad.error?.errors ?? []).map((fault) => [fault.in, fault.pointer, fault.code]);
assert.deepEqual(faults, [
  ["body", "/body", "length"],
  ["body", "/title", "length"],
]);

// Delete; then it is not there.
const gone = await api.DELETE("/api/v1/posts/{id}", { params: { path } });
assert.equal(gone.response.status, 204);
const missing = await api.GET("/api/v1/posts/{id}", { params: { path } });
assert.equal(missing.response.status, 404);
assert.equal(missing.error?.code, "post_not_found");

// What a stranger meets.
token = undefined;
const stranger = await api.POST("/api/v1/posts", { body: { title: "Who?", body: "" } });
assert.equal(stranger.response.status, 401);

// Never called: only the compiler reads it.
export async function mistakes(id: PostId): Promise<void> {
  // @ts-expect-error there is no such path
  await api.GET("/api/v1/post");
  // @ts-expect-error there is no such order
  await api.GET("/api/v1/posts", { params: { query: { sort: ["-body"] } } });
  // @ts-expect-error a title is text
  await api.POST("/api/v1/posts", { body: { title: 1, body: "" } });
  // @ts-expect-error a post has a body
  await api.POST("/api/v1/posts", { body: { title: "Half" } });
  const answer = await api.GET("/api/v1/posts/{id}", { params: { path: { id } } });
  // @ts-expect-error this operation has no such code
  assert.equal(answer.error?.code === "email_taken", false);
}

console.log("the TypeScript client: a round trip passed");
