// Follows a call of the mesh: node dist/client.js watch CALL_ID.
//
// RELAY is the address of the relay, API_TOKEN a token where one is needed. clients/generate.sh makes the stubs.

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { authorize, watch } from "./events.js";
import { RelayService } from "./gen/voice/relay/v1/relay_service_pb.js";

const baseUrl = `http://${process.env.RELAY ?? "127.0.0.1:50051"}`;
const interceptors = [authorize(process.env.API_TOKEN)];
const relay = createClient(RelayService, createGrpcTransport({ baseUrl, interceptors }));
const [command, argument] = process.argv.slice(2);
if (command !== "watch" || !argument) throw new Error("usage: client.js watch CALL_ID");
await watch(relay, argument);
