// Follows a call of the mesh, or holds one: node dist/client.js watch CALL_ID | converse QUESTION.wav HEARD.wav.
//
// RELAY is the address of the relay, API_TOKEN a token where one is needed. clients/generate.sh makes the stubs.

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { converse } from "./converse.js";
import { authorize, watch } from "./events.js";
import { RelayService } from "./gen/voice/relay/v1/relay_service_pb.js";

const baseUrl = `http://${process.env.RELAY ?? "127.0.0.1:50051"}`;
const interceptors = [authorize(process.env.API_TOKEN)];
const relay = createClient(RelayService, createGrpcTransport({ baseUrl, interceptors }));
const [command, first, second] = process.argv.slice(2);
if (command === "watch" && first) await watch(relay, first);
else if (command === "converse" && first && second) await converse(relay, first, second);
else throw new Error("usage: client.js watch CALL_ID | converse QUESTION.wav HEARD.wav");
