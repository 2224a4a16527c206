package amtp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/amtp-go/amtp/internal/strictjson"
)

// CodeUnknown is the code of an [Error] for an answer that is not the protocol's: a
// proxy's page, a redirect, an error without a code.
const CodeUnknown Code = "UNKNOWN"

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 64 << 20

var errTooLarge = errors.New("too large")

// readUpTo reads the body of an answer. The error is errTooLarge if it has, or announces,
// more bytes than limit.
func readUpTo(limit int64, resp *http.Response) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, errTooLarge
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if int64(len(b)) > limit {
		return nil, errTooLarge
	}
	return b, err
}

// refusal reads an answer outside 2xx.
func refusal(resp *http.Response, answer []byte) *Error {
	e := &Error{Code: CodeUnknown, Message: fmt.Sprintf("HTTP %d", resp.StatusCode)}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.Message = fmt.Sprintf("HTTP %d: the gateway answered with a redirect, which is not followed", resp.StatusCode)
	}
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	var said struct {
		Code      Code           `json:"code"`
		Message   string         `json:"message"`
		Details   map[string]any `json:"details"`
		Timestamp Time           `json:"timestamp"`
		RequestID string         `json:"request_id"`
	}
	if decode(answer, &body) == nil && decode(body.Error, &said) == nil && said.Code != "" {
		*e = Error{Code: said.Code, Message: said.Message, Details: said.Details,
			Timestamp: said.Timestamp, RequestID: said.RequestID}
	}
	var result SendResult
	if decode(answer, &result) == nil && len(result.Recipients) > 0 {
		e.Result = &result
	}
	e.Status = resp.StatusCode
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	return e
}

// keep stores a good answer in out. An answer without a body, as other gateways give to a
// deletion, leaves out as it was.
func keep(answer []byte, out any) error {
	switch out := out.(type) {
	case nil:
		return nil
	case *json.RawMessage:
		*out = answer
		return nil
	}
	if len(answer) == 0 {
		return nil
	}
	return decode(answer, out)
}

// decode stores the members of a JSON object into the struct that v points to,
// by their exact names at every depth. encoding/json alone would take a stranger's member
// "Trust" for the gateway's "trust". Members that hold JSON keep their bytes.
func decode(doc []byte, v any) error {
	members, err := membersOf(doc)
	if err != nil {
		return err
	}
	return fill(reflect.ValueOf(v).Elem(), members)
}

// membersOf splits an object. It does not use strictjson, whose bounds are for one
// message: a page may have several messages of the largest size.
func membersOf(doc []byte) (map[string]json.RawMessage, error) {
	noObject := Errorf(CodeUnknown, "The gateway's answer is not a JSON object.")
	dec := json.NewDecoder(bytes.NewReader(doc))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') || !json.Valid(doc) {
		return nil, noObject
	}
	members := make(map[string]json.RawMessage)
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || dec.Decode(&value) != nil {
			return nil, noObject
		}
		if _, twice := members[name]; twice {
			return nil, Errorf(CodeUnknown, "The gateway's answer names the member %q twice.", name)
		}
		members[name] = value
	}
	return members, nil
}

func fill(v reflect.Value, members map[string]json.RawMessage) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			if err := fill(v.Field(i), members); err != nil {
				return err
			}
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, ok := members[name]
		if !ok || name == "-" {
			continue
		}
		if err := fillValue(v.Field(i), value); err != nil {
			return Errorf(CodeUnknown, "The gateway's answer has a member %q that cannot be read: %v.", name, err)
		}
	}
	return nil
}

// fillValue stores one value. The bounds of strictjson are for one message or
// one agent, so each element of a list is decoded by itself.
func fillValue(v reflect.Value, value json.RawMessage) error {
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes(value)
		return nil
	case v.Kind() == reflect.Slice:
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil || list == nil {
			return err
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
		for i, element := range list {
			if err := fillValue(v.Index(i), element); err != nil {
				return err
			}
		}
		return nil
	case v.Type() == reflect.TypeFor[map[string]Agent]():
		list, err := membersOf(value)
		if err != nil {
			return err
		}
		agents := make(map[string]Agent, len(list))
		for name, doc := range list {
			var a Agent
			if err := strictjson.DecodeValue(doc, &a); err != nil {
				return err
			}
			agents[name] = a
		}
		v.Set(reflect.ValueOf(agents))
		return nil
	}
	return strictjson.DecodeValue(value, v.Addr().Interface())
}
