package amtp_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

func TestCodes(t *testing.T) {
	secret := base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef"))
	for _, want := range []amtp.InviteCode{
		{Gateway: "https://amtp.shop.example", Secret: secret},
		{Gateway: "https://192.168.1.7:8443", Secret: secret, Pin: &amtp.Pin{1, 2, 3}},
		{Gateway: "http://127.0.0.1:8080", Secret: secret},
	} {
		code := want.String()
		got, err := amtp.ParseInviteCode(" " + code + "\n")
		if err != nil || got.Gateway != want.Gateway || got.Secret != want.Secret ||
			(got.Pin == nil) != (want.Pin == nil) || got.Pin != nil && *got.Pin != *want.Pin {
			t.Errorf("ParseInviteCode of %+v = %+v, %v", want, got, err)
		}
		for cut := range len(code) { // half a code never goes to half a host
			if got, err := amtp.ParseInviteCode(code[:cut]); err == nil {
				t.Fatalf("the first %d characters of a code are one for %s", cut, got.Gateway)
			}
		}
		if strings.ContainsFunc(code, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", r)
		}) {
			t.Errorf("the code %q is not one word in every shell", code)
		}
	}
	for _, gateway := range []string{"http://amtp.shop.example", "https://", "ftp://127.0.0.1",
		"https://user@shop.example", "https://shop.example/?q", ""} {
		if got, err := amtp.ParseInviteCode(amtp.InviteCode{Gateway: gateway, Secret: secret}.String()); err == nil {
			t.Errorf("a code for %q is one for %q, want an error", gateway, got.Gateway)
		}
	}
	if got := (amtp.InviteCode{Gateway: "https://a.example", Secret: "short"}).String(); got != "" {
		t.Errorf("a code without a secret is %q", got)
	}
}
