package amtp

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestReadUpTo(t *testing.T) {
	for _, tt := range []struct {
		announced int64
		body      string
		ok        bool
	}{
		{-1, "12345", true},
		{-1, "123456", false},
		{6, "", false},
		{0, "123456", false},
	} {
		resp := &http.Response{ContentLength: tt.announced, Body: io.NopCloser(strings.NewReader(tt.body))}
		got, err := readUpTo(5, resp)
		if (err == nil) != tt.ok || tt.ok && string(got) != tt.body {
			t.Errorf("readUpTo(5) of %q, announced %d = %q, %v; want ok = %v", tt.body, tt.announced, got, err, tt.ok)
		}
	}
}
