package gateway_test

import (
	"os"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
)

const page = "../../docs/states.md"

// step is one transition by the names that the page uses.
type step struct{ from, event, to string }

func TestPageHasTheTransitionsOfTheCode(t *testing.T) {
	drawn := make(map[step]bool)
	for _, row := range table(t, "| from | event | to |") {
		drawn[step{row[0], row[1], row[2]}] = true
	}
	for _, from := range states {
		for _, event := range events {
			to, err := gateway.Next(from, event)
			if err != nil {
				continue
			}
			s := step{from.String(), event.String(), to.String()}
			if !drawn[s] {
				t.Errorf("%s has no row for the transition %v, want one", page, s)
			}
			delete(drawn, s)
		}
	}
	for s := range drawn {
		t.Errorf("%s has a row for %v, the code has no such transition", page, s)
	}
}

func TestPageHasTheWordsOfTheWire(t *testing.T) {
	rows := table(t, "| state | status | error code |")
	if len(rows) != len(states) {
		t.Fatalf("%s has %d rows of states, want %d", page, len(rows), len(states))
	}
	for i, s := range states {
		status, code := s.Wire()
		want := []string{s.String(), string(status), string(code)}
		if s == gateway.Failed {
			want[2] = "the delivery's own"
		}
		if !contains(rows, want) {
			t.Errorf("%s has no row %q, want one; row %d is %q", page, want, i+1, rows[i])
		}
	}
}

func TestDrawingNamesEveryStateAndEvent(t *testing.T) {
	_, rest, _ := strings.Cut(read(t), "```\n")
	drawing, _, _ := strings.Cut(rest, "```\n")
	for _, s := range states {
		if !strings.Contains(drawing, "["+s.String()+"]") {
			t.Errorf("the drawing in %s does not show [%v]", page, s)
		}
	}
	for _, e := range events {
		if !strings.Contains(drawing, e.String()) {
			t.Errorf("the drawing in %s does not show %v", page, e)
		}
	}
}

func read(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("read the page: %v", err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// table returns the first three cells of the rows below the header.
func table(t *testing.T, header string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t), "\n"+header)
	if !ok {
		t.Fatalf("%s has no table %q", page, header)
	}
	var rows [][]string
	for i, line := range strings.Split(rest, "\n")[2:] {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			return rows
		}
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		if cells[1] == "" {
			t.Fatalf("row %d of %q has no first cell", i+1, header)
		}
		rows = append(rows, cells[1:4])
	}
	return rows
}

func contains(rows [][]string, want []string) bool {
	for _, row := range rows {
		if strings.Join(row, "|") == strings.Join(want, "|") {
			return true
		}
	}
	return false
}
