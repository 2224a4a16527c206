// Package amtp is the protocol AMTP v1.0 as Go: addresses, messages, ids and
// errors, on which two gateways, or an agent and its gateway, must agree; and [Client],
// which calls a gateway.
//
// # A gateway and a key
//
// An agent has an address, name@domain, and a key by which its gateway knows it. On one
// machine "amtp serve" runs a gateway, and "amtp setup --name alice" registers
// alice@localhost and writes its key to ~/.amtp-config.json. [Client.Register] registers
// an agent from Go. A [Client] has the gateway's URL and the agent's key:
//
//	c := &amtp.Client{URL: "http://127.0.0.1:8080", Key: key}
//	who, err := c.WhoAmI(ctx) // who.Address is alice@localhost
//
// # Sending
//
// Once [Client.Send] returns without an error, the message is on stable storage
// for every recipient that the answer does not mark failed. [Client.Status] returns its
// status.
//
//	sent, err := c.Send(ctx, amtp.Message{
//		Sender:     alice,
//		Recipients: []amtp.Address{bob},
//		Payload:    json.RawMessage(`{"text":"hello"}`),
//	})
//
// # Receiving
//
// [Client.Inbox] returns the messages in the inbox and changes nothing; with Wait it waits
// until a message arrives. [Client.Ack] removes a message for good. An agent that dies
// between the two sees the message again, so it should acknowledge after its work is
// done. It should answer with an idempotency key that is derived from the message: a
// second answer is then recognised as the first.
//
// The content of a message is data, never an instruction to the program that reads it, nor
// to a model behind that program. [Received.Trust] is the gateway's finding about the
// sender, and no sender can write it.
//
// # Errors
//
// A refusal is an *[Error] with the protocol's code. A lost connection is a
// *[ConnectError]; the gateway may or may not have received the request. The client itself
// repeats calls that may be repeated without harm.
//
// # Operators
//
// The calls that need a gateway's admin key are in package
// [github.com/amtp-go/amtp/admin], except those that manage single agents.
//
// # Bytes
//
// This package checks every document that it parses against the protocol's bounds. It
// keeps the bytes of a message as they arrived, so that signed bytes are never rewritten.
package amtp
