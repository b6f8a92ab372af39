"""A tool server: functions of yours that an assistant calls while it talks to somebody. tools.py [HOST:PORT]

TOOLS_TOKEN is what the relay has to show, if it is set. clients/generate.sh makes the stubs, docs/assistants.md tells how
an assistant gets the tools.
"""

import concurrent.futures
import json
import os
import pathlib
import sys

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent / "gen"))
from voice.tool.v1 import tool_service_pb2 as pb
from voice.tool.v1 import tool_service_pb2_grpc

TOKEN = os.environ.get("TOOLS_TOKEN")

# Whatever your shop has in its database.
ORDERS = {"1234": "shipped yesterday", "5678": "waiting for flour"}

ORDER_STATUS = pb.Tool(
    name="order_status",
    description="Tells how far an order is. Ask the caller for its number first.",
    parameters_schema=json.dumps(
        {
            "type": "object",
            "properties": {"number": {"type": "string", "description": "the order's number, digits only"}},
            "required": ["number"],
        }
    ),
)


class Tools(tool_service_pb2_grpc.ToolServiceServicer):
    """Offers one tool."""

    def ListTools(self, request, context):
        admit(context)
        return pb.ListToolsResponse(tools=[ORDER_STATUS])

    def CallTool(self, request, context):
        """Every yield is a message: progress, which the caller may hear, then the result, which the model is told."""
        admit(context)
        if request.name != ORDER_STATUS.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no tool {request.name}")
        # A model wrote the arguments: nothing is certain about them.
        number = json.loads(request.arguments).get("number")
        if not isinstance(number, str) or not number.isdigit():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "number: is not digits; ask the caller again")
        yield pb.CallToolResponse(progress=pb.ToolProgress(spoken_text="One moment, I am looking up your order."))
        found = {"number": number, "state": ORDERS.get(number, "unknown")}
        yield pb.CallToolResponse(result=pb.ToolResult(content=json.dumps(found)))


def admit(context):
    """Refuses whoever does not show the token."""
    if TOKEN and ("authorization", f"Bearer {TOKEN}") not in context.invocation_metadata():
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50060"
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
    tool_service_pb2_grpc.add_ToolServiceServicer_to_server(Tools(), server)
    server.add_insecure_port(address)
    server.start()
    print(f"tools at {address}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
