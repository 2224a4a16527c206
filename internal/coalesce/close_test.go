package coalesce

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheEndOfTLSCutsNothing: TLS forbids further writes by a deadline in the past.
// Bytes that were written before still arrive, with the close_notify.
func TestTheEndOfTLSCutsNothing(t *testing.T) {
	config := selfSigned(t)
	for _, halfFirst := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			defer there.Close()
			server := tls.Server(New(here), config)
			client := tls.Client(there, &tls.Config{InsecureSkipVerify: true})
			go server.Handshake() // its error is that of the Write below
			if err := client.Handshake(); err != nil {
				t.Fatal(err)
			}
			answer := bytes.Repeat([]byte("x"), 20<<10)
			if _, err := server.Write(answer); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the bytes are on their way, and the other side does not read
			if halfFirst {
				if err := server.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(client)
			if err != nil || len(got) != len(answer) {
				t.Errorf("with CloseWrite %t: the other side got %d bytes, %v, want %d and no error", halfFirst,
					len(got), err, len(answer))
			}
		})
	}
}

// TestADeadlineDoesNotKeepOpen: a goroutine may move the deadline while another closes
// the connection, as net/http does between two requests. That keeps nothing open.
func TestADeadlineDoesNotKeepOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, there := accepted(t)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("nobody reads this")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		go c.Close() // if it waits, the test measures how long
		synctest.Wait()
		_ = c.SetWriteDeadline(time.Time{}) // refused, or too late
		_ = c.SetDeadline(began.Add(time.Hour))
		if _, err := there.Write([]byte("x")); err == nil {
			t.Error("bytes of the other side were read after Close")
		}
		l.Wait()
		if took := time.Since(began); took > closeTime {
			t.Errorf("sending the rest took %v, want %v at the most", took, closeTime)
		}
	})
}

// TestCloseDoesNotWait: a server soon closes thousands of connections one after the
// other, although their other sides do not read.
func TestCloseDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := accepted(t)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		reading := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			reading <- err
		}()
		if _, err := c.Write([]byte("nobody reads this")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		if err := c.Close(); err != nil || time.Since(began) != 0 {
			t.Errorf("Close = %v after %v, want no error at once", err, time.Since(began))
		}
		if err := <-reading; !errors.Is(err, net.ErrClosed) || time.Since(began) != 0 {
			t.Errorf("Read = %v after %v, want net.ErrClosed at once", err, time.Since(began))
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close = %v, want net.ErrClosed", err)
		}
		l.Wait()
		if took := time.Since(began); took != closeTime {
			t.Errorf("Wait took %v, want %v", took, closeTime)
		}
	})
}

// accepted is a listener that accepts one connection, and its other side.
func accepted(t *testing.T) (*Listener, net.Conn) {
	here, there := net.Pipe()
	t.Cleanup(func() { there.Close() })
	return Listen(&one{conn: here}), there
}

type one struct {
	net.Listener
	conn net.Conn
}

func (o *one) Accept() (net.Conn, error) { return o.conn, nil }

// TestARestingConnectionHoldsNoBuffer, because thousands of connections are idle.
func TestARestingConnectionHoldsNoBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		c := New(g)
		write(t, c, "on its way")
		synctest.Wait()
		write(t, c, string(make([]byte, maxPending)))
		close(g.open)
		synctest.Wait()
		if n := c.holds(); n != 0 {
			t.Errorf("a connection with nothing to send holds %d bytes, want none", n)
		}
	})
}

// TestWhoDoesNotReadHoldsLittle: bytes that are being sent count like bytes that wait.
func TestWhoDoesNotReadHoldsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		c := New(here)
		const piece = 16 << 10 // a record of TLS
		go func() {
			for {
				if _, err := c.Write(make([]byte, piece)); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if n := c.holds(); n > 2*(maxPending+piece) {
			t.Errorf("a connection whose other side does not read holds %d bytes, want %d at the most", n,
				2*(maxPending+piece))
		}
		_ = c.Close()
	})
}

// holds returns how many bytes of memory the written data takes.
func (c *Conn) holds() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight + cap(c.pending)
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
