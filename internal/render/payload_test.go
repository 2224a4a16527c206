package render

import (
	"encoding/json"
	"testing"
)

func TestPayloadBlocks(t *testing.T) {
	tests := []struct{ payload, want string }{
		{`"a\nb\u0007"`, "a\nb\\u0007"},
		{`{"text":"a\nb"}`, "a\nb"},
		{`{"text":"a","n":1}`, "{\n  \"text\": \"a\",\n  \"n\": 1\n}"},
		{`{"text":5}`, "{\n  \"text\": 5\n}"},
		{`[1.50]`, "[\n  1.50\n]"},
		{`null`, ""},
		{``, ""},
	}
	for _, tt := range tests {
		if got := payloadBlock(json.RawMessage(tt.payload)); got != tt.want {
			t.Errorf("payloadBlock(%s) = %q, want %q", tt.payload, got, tt.want)
		}
	}
}
