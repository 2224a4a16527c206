package testnet_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// correspondence holds the messages that two domains wrote before one of them moves.
type correspondence struct {
	t                 *testing.T
	n                 *testnet.Net
	a, b              *testnet.Gateway
	alice, carol, bob *testnet.Person
	read, acked, kept amtp.SendResult
	queued            amtp.SendResult
	cursor            string // of carol's inbox, after everything in it
}

func correspond(t *testing.T) *correspondence {
	n := testnet.New(t)
	c := &correspondence{t: t, n: n, a: n.Start("a.example"), b: n.Start("b.example")}
	c.alice, c.carol, c.bob = n.As("alice@a.example"), n.As("carol@a.example"), n.As("bob@b.example")
	c.acked = c.alice.Send("acknowledged", "carol@a.example")
	c.read = c.alice.Send("read", "carol@a.example")
	c.kept = c.alice.Post(amtp.Message{Subject: "with a key", IdempotencyKey: "key-1"}, "carol@a.example",
		"bob@b.example")
	c.alice.Hears(c.alice.Send("to nobody", "nobody@b.example").MessageID, amtp.StatusFailed)
	c.alice.Hears(c.kept.MessageID, amtp.StatusDelivered)
	c.bob.Receives(1)
	c.carol.Ack(c.acked.MessageID)
	if _, err := c.carol.Client.MarkRead(t.Context(), c.carol.Address, c.read.MessageID); err != nil {
		t.Fatal(err)
	}
	page, err := c.carol.Client.Inbox(t.Context(), c.carol.Address, amtp.InboxQuery{})
	if err != nil {
		t.Fatal(err)
	}
	c.cursor = page.NextCursor
	c.alice.Receives(1) // the bounce
	c.b.Stop()
	c.queued = c.alice.Send("while b is away", "bob@b.example")
	c.a.Stop()
	return c
}

func (c *correspondence) move(ctx context.Context, url string,
	tell func(operate.Progress)) ([]operate.MovedTable, error) {
	return operate.MoveStore(ctx, c.a.Dir, config.DSN(url), tell)
}

// starts tries to start a gateway on a's directory.
func (c *correspondence) starts(environ ...string) error {
	c.t.Helper()
	cfg, _, err := config.Load(config.Sources{Environ: append(environ, "AMTP_DATA_DIR="+c.a.Dir,
		"AMTP_DOMAIN=a.example", "AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DNS_MOCK_MODE=true")})
	if err != nil {
		c.t.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	return a.Close()
}

func quiet(operate.Progress) {}

// TestMoveToPostgreSQL: a gateway moves from SQLite to PostgreSQL in the middle of its
// work, and its users and peers see no difference.
func TestMoveToPostgreSQL(t *testing.T) {
	c := correspond(t)
	url := pgtest.Database(t, "empty", nil)
	tables, err := c.move(t.Context(), url, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range tables {
		if (m.Name == "message" || m.Name == "delivery" || m.Name == "job" || m.Name == "dedup" ||
			m.Name == "document") && m.Rows == 0 {
			t.Errorf("nothing of %s was moved", m.Name)
		}
	}
	if err := c.starts(); err == nil || !strings.Contains(err.Error(), "was moved to postgres://") {
		t.Errorf("a gateway on the moved directory: %v, want a refusal", err)
	}
	if _, err := c.move(t.Context(), url, quiet); !errors.Is(err, operate.ErrAlreadyMoved) {
		t.Errorf("the second move: %v, want %v", err, operate.ErrAlreadyMoved)
	}
	c.a.Run("AMTP_DATABASE_URL=" + url)
	c.nothingLost()
	c.nothingRepeated()
}

// nothingLost checks that everything from before the move is there.
func (c *correspondence) nothingLost() {
	t := c.t
	t.Helper()
	inbox := c.carol.Inbox()
	if len(inbox) != 2 || inbox[0].MessageID != c.read.MessageID || inbox[0].Status != "read" ||
		inbox[1].MessageID != c.kept.MessageID || inbox[1].Status != "unread" {
		t.Errorf("carol's inbox is %+v, want one read message and one unread", inbox)
	}
	if s, err := c.alice.Client.Status(t.Context(), c.acked.MessageID); err != nil || !s.Recipients[0].Acknowledged {
		t.Errorf("what carol acknowledged: %+v, %v", s, err)
	}
	dead, err := c.a.Operator().DeadLetters(t.Context(), admin.DeadLetterQuery{})
	if err != nil || len(dead.DeadLetters) != 1 || dead.DeadLetters[0].Recipient.String() != "nobody@b.example" {
		t.Errorf("dead letters are %+v, %v; want the one to nobody@", dead, err)
	}
	jobs, err := c.a.Operator().Jobs(t.Context(), admin.JobQuery{Destination: "b.example"})
	if err != nil || len(jobs.Jobs) != 1 {
		t.Fatalf("the jobs for b.example are %+v, %v; want one", jobs.Jobs, err)
	}
	c.b.Run()
	var refused *amtp.Error // the job may be under way already
	if _, err := c.a.Operator().RetryJob(t.Context(), jobs.Jobs[0].ID); err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	c.alice.Hears(c.queued.MessageID, amtp.StatusDelivered)
	got := c.bob.Receives(2)
	if got[1].MessageID != c.queued.MessageID || got[1].Trust != amtp.TrustVerified {
		t.Errorf("bob has %s, %s, want %s, verified", got[1].MessageID, got[1].Trust, c.queued.MessageID)
	}
}

// nothingRepeated sends the earlier messages again, and reads on from a cursor.
func (c *correspondence) nothingRepeated() {
	t := c.t
	t.Helper()
	again := c.alice.Post(amtp.Message{Subject: "with a key", IdempotencyKey: "key-1"}, "carol@a.example",
		"bob@b.example")
	if again.MessageID != c.kept.MessageID {
		t.Errorf("a retry became %s, want %s", again.MessageID, c.kept.MessageID)
	}
	fresh := c.alice.Send("after the move", "carol@a.example")
	page, err := c.carol.Client.Inbox(t.Context(), c.carol.Address, amtp.InboxQuery{After: c.cursor})
	if err != nil || len(page.Messages) != 1 || page.Messages[0].MessageID != fresh.MessageID {
		t.Errorf("after the cursor are %+v, %v; want only messages from after the move", page.Messages, err)
	}
	c.bob.Receives(2)
	c.n.As("dave@a.example").Send("from a new agent", "carol@a.example")
	c.carol.Receives(4)
}

// TestMoveGoesOn: after an interrupted move no gateway starts on either side. A second
// move continues.
func TestMoveGoesOn(t *testing.T) {
	c := correspond(t)
	url := pgtest.Database(t, "empty", nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	brought := 0
	_, err := c.move(ctx, url, func(p operate.Progress) {
		if p.Table == "delivery" && p.Done > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the move that was interrupted: %v", err)
	}
	if err := c.starts(); err == nil || !strings.Contains(err.Error(), "is not done") {
		t.Errorf("a gateway on the directory: %v, want a refusal", err)
	}
	if err := c.starts("AMTP_DATABASE_URL=" + url); err == nil || !strings.Contains(err.Error(), "is not done") {
		t.Errorf("a gateway on the database: %v, want a refusal", err)
	}
	_, err = c.move(t.Context(), url, func(p operate.Progress) {
		if p.Table == "message" && !p.Check && p.Done < p.Of {
			brought++
		}
	})
	if err != nil || brought > 0 {
		t.Fatalf("the second move: %v, and it brought messages again: %v", err, brought > 0)
	}
	c.a.Run("AMTP_DATABASE_URL=" + url)
	c.nothingLost()
}

// TestMoveIsRefused into a database with other data, and from a directory whose gateway
// runs. A refused move changes nothing.
func TestMoveIsRefused(t *testing.T) {
	c := correspond(t)
	url := pgtest.Database(t, "empty", nil)
	key := "AMTP_DATABASE_URL=" + url
	other := t.TempDir()
	cfg, _, err := config.Load(config.Sources{Environ: []string{key, "AMTP_DATA_DIR=" + other,
		"AMTP_SERVER_ADDRESS=127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := app.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.move(t.Context(), url, quiet); !errors.Is(err, operate.ErrOtherData) {
		t.Errorf("a move into a database with other data: %v, want %v", err, operate.ErrOtherData)
	}
	c.a.Run()
	if _, err := c.move(t.Context(), pgtest.Database(t, "empty", nil), quiet); err == nil ||
		!strings.Contains(err.Error(), "is in use by") {
		t.Errorf("a move while the gateway runs: %v, want a refusal", err)
	}
	c.nothingLost()
}
