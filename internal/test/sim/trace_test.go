package sim

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// trace is the record of a simulation. It calls messages by the names that the plan
// gave them, because ids are new in every run.
type trace struct {
	mu     sync.Mutex
	began  time.Time
	events []event
	logs   []event        // of the gateways; they contain ids
	counts map[string]int // by kind of event
	live   io.Writer      // where all events are printed as they happen, or nil
}

// event is one event.
type event struct {
	at   time.Duration // since the beginning
	what string
}

// add records an event.
func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, t.print(fmt.Sprintf(format, args...)))
}

// print returns an event of the current moment, and prints it.
func (t *trace) print(what string) event {
	e := event{time.Since(t.began), what}
	if t.live != nil {
		fmt.Fprintln(t.live, e) // for a reader
	}
	return e
}

func (e event) String() string { return fmt.Sprintf("%15s  %s", e.at, e.what) }

// count counts an event that should happen in some simulation.
func (t *trace) count(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[kind]++
}

// all returns the events together with the log lines of the gateways.
func (t *trace) all() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Concat(t.events, t.logs)
	slices.SortStableFunc(list, func(a, b event) int {
		return cmp.Compare(a.at, b.at)
	})
	lines := make([]string, len(list))
	for i, e := range list {
		lines[i] = e.String()
	}
	return strings.Join(lines, "\n")
}

// logger returns a logger of one gateway that writes into the trace.
func (t *trace) logger(who string) *slog.Logger {
	return slog.New(logged{t, who, nil})
}

// logged is a slog.Handler.
type logged struct {
	trace *trace
	who   string
	attrs []slog.Attr
}

// Enabled accepts the levels that an operator sees.
func (l logged) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle records a line.
func (l logged) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "    %s logs %s %q", l.who, r.Level, r.Message)
	note := func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	}
	for _, a := range l.attrs {
		note(a)
	}
	r.Attrs(note)
	l.trace.mu.Lock()
	defer l.trace.mu.Unlock()
	l.trace.logs = append(l.trace.logs, l.trace.print(b.String()))
	return nil
}

// WithAttrs implements slog.Handler.
func (l logged) WithAttrs(more []slog.Attr) slog.Handler {
	l.attrs = slices.Concat(l.attrs, more)
	return l
}

// WithGroup implements slog.Handler: no gateway uses groups in its log.
func (l logged) WithGroup(string) slog.Handler { return l }
