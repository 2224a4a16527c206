package sim

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/ncruces/go-sqlite3"
)

// people are the agents of each domain. Together they write all letters.
var people = map[amtp.Domain][]string{
	"a.example": {"alice", "adam"},
	"b.example": {"bella", "bob"},
}

// mailboxes are the shared mailboxes. The agents of their domain are their members.
var mailboxes = map[amtp.Domain]string{"a.example": "team"}

// image is the database with which every simulation of a gateway begins. It has the
// agents and no message. Making one takes longer than simulating an hour.
type image struct {
	database []byte
	keys     map[string]string // of the agents, by address
	signer   *amtp.Signer
}

var (
	images     = make(map[amtp.Domain]*image)
	imagesOnce sync.Once
)

// prepare makes the images. It must be called outside of simulations.
func prepare(t *testing.T) {
	t.Helper()
	imagesOnce.Do(func() {
		for domain, names := range people {
			synctest.Test(t, func(t *testing.T) { // so that no time in it is in the future
				made, err := draw(t.TempDir(), domain, names)
				if err != nil {
					t.Fatalf("make the database of %s: %v", domain, err)
				}
				images[domain] = made
			})
		}
	})
	if len(images) != len(people) {
		t.Fatal("there are no databases for the start")
	}
}

func draw(dir string, domain amtp.Domain, names []string) (*image, error) {
	store, err := sqlite.Open(sqlite.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	im := &image{keys: make(map[string]string)}
	var members []gateway.AgentID
	for _, name := range names {
		address, err := amtp.ParseAddress(name + "@" + string(domain))
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
		secret, key := gateway.NewKey(0, time.Now())
		made, err := store.AddAgent(context.Background(), gateway.Agent{
			Address: address, DeliveryMode: "pull", Listed: true, CreatedAt: time.Now(), LastActive: time.Now(),
		}, key)
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
		im.keys[address.String()] = secret
		members = append(members, made.ID)
	}
	if name := mailboxes[domain]; name != "" {
		address, err := amtp.ParseAddress(name + "@" + string(domain))
		if err == nil {
			_, err = store.AddAgent(context.Background(), gateway.Agent{
				Address: address, DeliveryMode: "pull", Listed: true, Kind: gateway.SharedMailbox, Members: members,
				CreatedAt: time.Now(), LastActive: time.Now(),
			}, gateway.Key{})
		}
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, sqlite.FileName)
	if err := shrink(file); err != nil {
		return nil, err
	}
	if im.database, err = os.ReadFile(file); err != nil {
		return nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	im.signer, err = amtp.NewSigner("k1", private)
	return im, err
}

// shrink gives a database the smallest pages that still hold a row, because the store
// and the disk copy every committed page several times.
func shrink(file string) error {
	conn, err := sqlite3.Open(file)
	if err != nil {
		return err
	}
	err = conn.Exec(`PRAGMA journal_mode = DELETE; PRAGMA page_size = 1024; VACUUM`)
	return errors.Join(err, conn.Close())
}

// scratch makes a directory, in memory where the system has such a place. faultfs
// decides what a disk keeps.
func scratch() (string, error) {
	dir, err := os.MkdirTemp("/dev/shm", "amtp-sim-*")
	if err != nil {
		dir, err = os.MkdirTemp("", "amtp-sim-*")
	}
	return dir, err
}

// reserveSize is how many bytes a store reserves for a full disk.
const reserveSize = 64 << 10
