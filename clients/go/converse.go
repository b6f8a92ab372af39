package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	audiov1 "voicemesh/clients/go/gen/voice/audio/v1"
	relayv1 "voicemesh/clients/go/gen/voice/relay/v1"
)

// converse asks what a WAV file says (16 bits, mono; 8, 16 or 24 kHz), and writes all that is heard into another one.
func converse(ctx context.Context, relay relayv1.RelayServiceClient, question, heard string) error {
	rate, speech, err := readWav(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := relay.Converse(ctx)
	if err != nil {
		return err
	}
	greeted, answered := make(chan struct{}), make(chan struct{})
	sent := make(chan error, 1)
	go func() { sent <- speak(stream, rate, speech, greeted, answered) }()
	var samples []byte
	isAnswering := false
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		samples = append(samples, response.GetAudio()...)
		event := response.GetEvent()
		if event == nil {
			continue
		}
		show(event)
		isReply := event.GetPlaybackStarted().GetKind() == relayv1.PlaybackKind_PLAYBACK_KIND_REPLY
		isAnswering = isAnswering || isReply
		if event.GetStateChanged().GetActivity() == relayv1.Activity_ACTIVITY_LISTENING {
			if isAnswering {
				closeOnce(answered)
			} else {
				closeOnce(greeted)
			}
		}
	}
	if err := <-sent; err != nil {
		return err
	}
	return writeWav(heard, rate, samples)
}

// speak sends the configuration, then a tenth of a second at a time, as a microphone gives it: silence until the caller
// has been greeted, what he says, and silence until he has been answered. Then he hangs up.
func speak(
	stream relayv1.RelayService_ConverseClient, rate uint32, speech []byte, greeted, answered <-chan struct{},
) error {
	format := &audiov1.AudioFormat{
		Encoding: audiov1.AudioEncoding_AUDIO_ENCODING_LINEAR16, SampleRateHertz: int32(rate),
	}
	config := &relayv1.ConverseConfig{Format: format, WantsEvents: true}
	first := &relayv1.ConverseRequest{Payload: &relayv1.ConverseRequest_Config{Config: config}}
	if err := stream.Send(first); err != nil {
		return ended(err)
	}
	size := int(rate) / 10 * 2
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		piece := make([]byte, size)
		select {
		case <-greeted:
			speech = speech[copy(piece, speech):]
		default:
		}
		audio := &relayv1.CallerAudio{Audio: piece}
		if err := stream.Send(&relayv1.ConverseRequest{Payload: &relayv1.ConverseRequest_Audio{Audio: audio}}); err != nil {
			return ended(err)
		}
		select {
		case <-answered:
			return stream.CloseSend()
		case <-tick.C:
		}
	}
}

// ended takes the end of a stream for no error: whoever receives learns what it was.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func closeOnce(channel chan struct{}) {
	select {
	case <-channel:
	default:
		close(channel)
	}
}

// readWav gives the sample rate and the samples of a file with 16 bits and one channel.
func readWav(path string) (uint32, []byte, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return 0, nil, err
	}
	if len(file) < 12 || string(file[8:12]) != "WAVE" {
		return 0, nil, errors.New(path + " is not a WAV file")
	}
	var rate uint32
	for rest := file[12:]; len(rest) >= 8; {
		size := min(int(binary.LittleEndian.Uint32(rest[4:])), len(rest)-8)
		chunk := rest[8 : 8+size]
		switch string(rest[:4]) {
		case "fmt ":
			rate = binary.LittleEndian.Uint32(chunk[4:])
			if binary.LittleEndian.Uint16(chunk[2:]) != 1 || binary.LittleEndian.Uint16(chunk[14:]) != 16 {
				return 0, nil, errors.New(path + " is not 16 bits, mono")
			}
		case "data":
			return rate, chunk, nil
		}
		rest = rest[min(8+size+size%2, len(rest)):]
	}
	return 0, nil, errors.New(path + " has no samples")
}

func writeWav(path string, rate uint32, samples []byte) error {
	header := []byte("RIFF")
	header = binary.LittleEndian.AppendUint32(header, uint32(36+len(samples)))
	header = append(header, "WAVEfmt "...)
	header = binary.LittleEndian.AppendUint32(header, 16)
	header = binary.LittleEndian.AppendUint16(header, 1)
	header = binary.LittleEndian.AppendUint16(header, 1)
	header = binary.LittleEndian.AppendUint32(header, rate)
	header = binary.LittleEndian.AppendUint32(header, rate*2)
	header = binary.LittleEndian.AppendUint16(header, 2)
	header = binary.LittleEndian.AppendUint16(header, 16)
	header = append(header, "data"...)
	header = binary.LittleEndian.AppendUint32(header, uint32(len(samples)))
	return os.WriteFile(path, append(header, samples...), 0o644)
}
