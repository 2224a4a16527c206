// Package amtp is the protocol AMTP v1.0 as Go: addresses, messages, ids and
// errors as two gateways or an agent and its gateway must agree on them, and
// [Client], which speaks to a gateway.
//
//	c := &amtp.Client{URL: "http://127.0.0.1:8080", Key: key}
//	sent, err := c.Send(ctx, amtp.Message{
//		Sender:     alice,
//		Recipients: []amtp.Address{bob},
//		Payload:    json.RawMessage(`{"text":"hello"}`),
//	})
//
// Everything that this package parses was checked against the bounds of the
// protocol; the bytes of a message are kept as they arrived, so that what a
// signature covers is never rewritten.
package amtp
