package amtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"testing"
)

// TestSignaturesAreThoseOfRFC6979: the signature of "sample" with SHA-256 on P-256, RFC
// 6979 A.2.5.
func TestSignaturesAreThoseOfRFC6979(t *testing.T) {
	d, err := hex.DecodeString("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner("key1", key)
	if err != nil {
		t.Fatal(err)
	}
	value, err := s.sign([]byte("sample"))
	const want = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
		"f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
	if got := hex.EncodeToString(value); err != nil || got != want {
		t.Fatalf("sign = %s, %v, want %s", got, err, want)
	}
}
