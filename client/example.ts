// Creates a conversation and changes the version that it has read: BASE_URL=http://... TOKEN=... npx tsx example.ts
import createClient from "openapi-fetch";
import type { paths } from "./schema.ts";

const { BASE_URL: baseUrl = "http://127.0.0.1:8080", TOKEN } = process.env;
const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${TOKEN}` } });
const key = () => ({ "idempotency-key": crypto.randomUUID() });

const { data: made, error } = await client.POST("/api/v1/conversations", { params: { header: key() }, body: { title: "From TypeScript" } });
if (!made) throw new Error(`${error.title}: ${error.detail}`);
const path = { conversation_id: made.id };
const { response } = await client.GET("/api/v1/conversations/{conversation_id}", { params: { path } });
const header = { ...key(), "if-match": response.headers.get("etag") ?? "" };
const { data: changed } = await client.PATCH("/api/v1/conversations/{conversation_id}", { params: { path, header }, body: { is_public: true } });
console.log(changed?.title, changed?.is_public);
