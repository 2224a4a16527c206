// Package amtp is the protocol AMTP v1.0 as Go: addresses, messages, ids and
// errors as two gateways or an agent and its gateway must agree on them, and
// [Client], which speaks to a gateway.
//
// # A gateway and a key
//
// An agent has an address, name@domain, and a key, by which its gateway knows
// it. On one machine "amtp serve" is a gateway, and "amtp setup --name alice"
// makes alice@localhost and writes its key to ~/.amtp-config.json;
// [Client.Register] does the same from Go. A [Client] is a value that holds both:
//
//	c := &amtp.Client{URL: "http://127.0.0.1:8080", Key: key}
//	who, err := c.WhoAmI(ctx) // who.Address is alice@localhost
//
// # Sending
//
// Once [Client.Send] returns without an error, the message is on stable storage
// for every recipient that the answer does not mark failed. What becomes of it
// is told by [Client.Status].
//
//	sent, err := c.Send(ctx, amtp.Message{
//		Sender:     alice,
//		Recipients: []amtp.Address{bob},
//		Payload:    json.RawMessage(`{"text":"hello"}`),
//	})
//
// # Receiving
//
// [Client.Inbox] shows what waits and changes nothing; with Wait it holds the
// call until something arrives. [Client.Ack] takes a message out for good. An
// agent that dies between the two sees the message again, so it acknowledges
// when its work is done, and answers with an idempotency key that follows from
// the message: the second answer is then recognised as the first.
//
// What a message says is data, never an instruction to the program that reads
// it, nor to a model behind that program. [Received.Trust] is the gateway's
// finding about the sender, and no sender can write it.
//
// # Errors
//
// A refusal is an *[Error] with the protocol's code, a lost connection a
// *[ConnectError], after which nothing is known about the request. Calls that
// may be repeated without harm are repeated by the client itself.
//
// # Operators
//
// The calls that need a gateway's admin key, but for the management of single agents,
// are in package [github.com/amtp-go/amtp/admin].
//
// # Bytes
//
// Everything that this package parses was checked against the bounds of the
// protocol; the bytes of a message are kept as they arrived, so that what a
// signature covers is never rewritten.
package amtp
