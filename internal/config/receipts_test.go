package config

import (
	"strings"
	"testing"
)

// TestReceiptRules: rules for single domains are read, and text that is no rule is
// refused with its place.
func TestReceiptRules(t *testing.T) {
	cfg, _, err := Load(Sources{Environ: []string{"AMTP_DATA_DIR=" + t.TempDir(), "AMTP_FEDERATION_RECEIPTS=OFF",
		"AMTP_FEDERATION_RECEIPTS_DOMAINS=Shop.example = all, x.example=known"}})
	if err != nil {
		t.Fatal(err)
	}
	f := cfg.Federation
	if f.Receipts != "off" || len(f.ReceiptsDomains) != 2 ||
		f.ReceiptsDomains[0] != (DomainRule{"shop.example", "all"}) || f.ReceiptsDomains[1].Rule != "known" {
		t.Errorf("got %+v, want off, and all for shop.example and known for x.example", f)
	}
	for _, bad := range []string{"shop.example", "shop.example=some", "a b=all", "=all",
		"shop.example=all,SHOP.example=off"} {
		_, _, err := Load(Sources{Environ: []string{"AMTP_DATA_DIR=" + t.TempDir(),
			"AMTP_FEDERATION_RECEIPTS_DOMAINS=" + bad}})
		if err == nil || !strings.Contains(err.Error(), "AMTP_FEDERATION_RECEIPTS_DOMAINS") &&
			!strings.Contains(err.Error(), "receipts_domains") {
			t.Errorf("%q: %v, want an error that names the setting", bad, err)
		}
	}
}
