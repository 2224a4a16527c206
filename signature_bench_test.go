//go:build unix

package amtp_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
)

// sized returns a message of about that many bytes, most of them text.
func sized(bytes int) string {
	return edit(complete, "payload", `{"text":"`+strings.Repeat("Grüße aus Köln. ", bytes/18)+`","total":10498.50}`)
}

// countCPU reports the processor time of the rest of the benchmark. Other load on the
// machine changes it less than the elapsed time.
func countCPU(b *testing.B) {
	spent := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := spent()
	b.Cleanup(func() { b.ReportMetric(float64((spent()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") })
}

// signers are signers of either algorithm.
func signers(b *testing.B) map[string]*amtp.Signer {
	s, err := amtp.NewSigner("key1", rsaKey(b, 2048))
	if err != nil {
		b.Fatal(err)
	}
	return map[string]*amtp.Signer{amtp.ES256: signer(b), amtp.RS256: s}
}

func BenchmarkSign(b *testing.B) {
	for algorithm, s := range signers(b) {
		for size, body := range map[string]string{"1KB": sized(600), "100KB": sized(100_000)} {
			b.Run(algorithm+"/"+size, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				countCPU(b)
				for b.Loop() {
					if _, err := s.Sign([]byte(body)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkVerify measures what a signature adds to the cost of parsing a message; the
// key is known.
func BenchmarkVerify(b *testing.B) {
	for algorithm, s := range signers(b) {
		for size, body := range map[string]string{"1KB": sized(600), "100KB": sized(100_000)} {
			b.Run(algorithm+"/"+size, func(b *testing.B) {
				out, err := s.Sign([]byte(body))
				if err != nil {
					b.Fatal(err)
				}
				m, failure := amtp.ParseMessage(out)
				if failure != nil {
					b.Fatal(failure)
				}
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				countCPU(b)
				for b.Loop() {
					sig, err := amtp.ParseSignature(m)
					if err == nil {
						err = sig.Verify(s.KeyRecord())
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
