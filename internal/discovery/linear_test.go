package discovery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/hostile"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/miekg/dns"
)

// packed returns shapes of DNS messages, which have at most 65535 bytes.
func packed(t *testing.T) []hostile.Shape {
	shape := func(name string, record func(i int) string) hostile.Shape {
		return hostile.Shape{Name: name, Make: func(n int) []byte {
			m := new(dns.Msg)
			m.SetQuestion("_amtp.a.example.", dns.TypeTXT)
			m.Response, m.Compress = true, true
			for i := 0; m.Len() < n; i++ {
				for range 20 { // the length is not computed for each
					rr, err := dns.NewRR(record(i))
					if err != nil {
						t.Fatal(err)
					}
					m.Answer = append(m.Answer, rr)
				}
			}
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			return b
		}}
	}
	long := strings.Repeat("a", 60)
	return []hostile.Shape{
		shape("texts", func(int) string { return `_amtp.a.example. 60 TXT "a"` }),
		shape("records", func(int) string { return `_amtp.a.example. 60 TXT "v=amtp1;gateway=https://a.example"` }),
		shape("strings", func(int) string { return `_amtp.a.example. 60 TXT ` + strings.Repeat(`"" `, 100) }),
		shape("aliases in a chain", func(i int) string {
			return fmt.Sprintf("n%d.a.example. 60 CNAME n%d.a.example.", i, i+1)
		}),
		shape("aliases of one name", func(int) string { return "_amtp.a.example. 60 CNAME _amtp.a.example." }),
		shape("long names", func(i int) string {
			return fmt.Sprintf("%s.%s.%s.n%d.example. 60 TXT a", long, long, long, i)
		}),
		shape("authorities", func(int) string { return "a.example. 60 NS b.example." }),
	}
}

// TestReadersOfDNSAreLinear: the owner of a name may send any answer for it.
func TestReadersOfDNSAreLinear(t *testing.T) {
	slow.Test(t, "it reads long answers")
	hostile.Linear(t, packed(t), 8<<10, func(b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		s, err := read("_amtp.a.example.", m)
		if err == nil {
			_, _ = amtp.ChooseCapabilities(s.Records, false)
			_, _ = amtp.ChooseKeyRecord(s.Records)
		}
	})
	hostile.Linear(t, hostile.Texts(), 8<<10, func(b []byte) { _ = new(dns.Msg).Unpack(b) })
}
