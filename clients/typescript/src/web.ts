// The same with what a browser has: gRPC-Web through the gateway. It runs in Node too: node dist/web.js CALL_ID, with
// the gateway's address in GATEWAY. In a page, its origin has to be one of the gateway's CORS_ALLOWED_ORIGINS.

import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { authorize, watch } from "./events.js";
import { CallStateSchema } from "./gen/voice/relay/v1/call_pb.js";
import { RelayService } from "./gen/voice/relay/v1/relay_service_pb.js";

const baseUrl = process.env.GATEWAY ?? "http://127.0.0.1:8080";
const interceptors = [authorize(process.env.API_TOKEN)];
const relay = createClient(RelayService, createGrpcWebTransport({ baseUrl, interceptors }));
const [callId] = process.argv.slice(2);
if (!callId) throw new Error("usage: web.js CALL_ID");
const { call } = await relay.getCall({ callId });
if (call) console.log("state:", CallStateSchema.value[call.state]?.name);
await watch(relay, callId);
