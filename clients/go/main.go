// Command client follows a call of the mesh, or holds one:
//
//	client watch CALL_ID
//	client converse QUESTION.wav HEARD.wav
//
// RELAY is the address of the relay, API_TOKEN a token where one is needed. clients/generate.sh makes the stubs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	relayv1 "voicemesh/clients/go/gen/voice/relay/v1"
)

func main() {
	log.SetFlags(0)
	address := os.Getenv("RELAY")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx := context.Background()
	if token := os.Getenv("API_TOKEN"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	relay := relayv1.NewRelayServiceClient(connection)
	switch arguments := os.Args[1:]; {
	case len(arguments) == 2 && arguments[0] == "watch":
		err = watch(ctx, relay, arguments[1])
	case len(arguments) == 3 && arguments[0] == "converse":
		err = converse(ctx, relay, arguments[1], arguments[2])
	default:
		err = errors.New("usage: client watch CALL_ID | converse QUESTION.wav HEARD.wav")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// watch prints what happens in a call, to its end. A connection that breaks costs nothing: it goes on where it was.
func watch(ctx context.Context, relay relayv1.RelayServiceClient, callID string) error {
	var last int64
	for {
		err := follow(ctx, relay, callID, &last)
		if status.Code(err) != codes.Unavailable {
			return err
		}
		time.Sleep(time.Second)
	}
}

func follow(ctx context.Context, relay relayv1.RelayServiceClient, callID string, last *int64) error {
	events, err := relay.WatchCall(ctx, &relayv1.WatchCallRequest{CallId: callID, AfterSequence: *last})
	if err != nil {
		return err
	}
	for {
		response, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		*last = response.GetEvent().GetSequence()
		show(response.GetEvent())
	}
}

// show prints an event. Those that are not known here are passed over: a contract may grow.
func show(event *relayv1.CallEvent) {
	switch event := event.GetEvent().(type) {
	case *relayv1.CallEvent_Transcript:
		if event.Transcript.GetIsFinal() {
			fmt.Println("caller:", event.Transcript.GetText())
		}
	case *relayv1.CallEvent_PlaybackStarted:
		fmt.Println("assistant:", event.PlaybackStarted.GetText())
	case *relayv1.CallEvent_PlaybackInterrupted:
		fmt.Println("interrupted after:", event.PlaybackInterrupted.GetHeard())
	case *relayv1.CallEvent_StateChanged:
		if event.StateChanged.GetState() == relayv1.CallState_CALL_STATE_ENDED {
			fmt.Println("ended:", event.StateChanged.GetEndReason())
		}
	}
}
