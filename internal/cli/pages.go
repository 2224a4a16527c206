package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/amtp-go/amtp/internal/render"
)

// pageSize is the most entries that a gateway shows at once.
const pageSize = 1000

// emptyPages is how many empty pages in a row end a list. The gateway examines
// thousands of rows for each page, and another domain's list may never end.
const emptyPages = 25

// listing says how much of a list the user wants.
type listing struct {
	limit  int
	all    bool
	cursor string
	cmd    *cobra.Command // the command that was typed
}

// flags adds the flags of a list. after says that the cursor also has its older name.
func (l *listing) flags(cmd *cobra.Command, limit int, what string, after bool) {
	flags := cmd.Flags()
	flags.IntVar(&l.limit, "limit", limit, "at most `N` "+what)
	flags.BoolVar(&l.all, "all", false, "all of them, however many pages that takes")
	flags.StringVar(&l.cursor, "cursor", "", "go on behind this `CURSOR`, the next_cursor of an earlier page")
	if after {
		flags.StringVar(&l.cursor, "after", "", "the same as --cursor `CURSOR`")
	}
}

// check refuses flags that contradict one another.
func (l *listing) check(cmd *cobra.Command) error {
	l.cmd = cmd
	switch {
	case l.limit < 1:
		return usageErrorf("--limit must be 1 or more; --all lists everything.")
	case l.all && cmd.Flags().Changed("limit"):
		return usageErrorf("Give --limit or --all, not both.")
	case cmd.Flags().Changed("after") && cmd.Flags().Changed("cursor"):
		return usageErrorf("--after and --cursor are the same; give one of them.")
	}
	return nil
}

// goesOn is the command that shows the next page: the typed command, from the cursor
// on.
func (l *listing) goesOn(cursor string) string { return l.goesOnFrom("cursor", cursor) }

// goesOnFrom is goesOn with the flag that says where.
func (l *listing) goesOnFrom(flag, value string) string {
	words := append(strings.Fields(l.cmd.CommandPath()), l.cmd.Flags().Args()...)
	l.cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case slices.Contains([]string{"all", "cursor", "after", "offset", "wait"}, f.Name):
		case f.Value.Type() == "bool":
			words = append(words, "--"+f.Name+"="+f.Value.String())
		default:
			words = append(words, "--"+f.Name, f.Value.String())
		}
	})
	for i, w := range words {
		words[i] = render.ShellWord(render.Clean(w))
	}
	return strings.TrimSpace(strings.Join(words, " ") + " --" + flag + " " + render.ShellWord(render.Clean(value)))
}

// joined returns a list with the entries of another page. An empty list stays one.
func joined[T any](have, more []T) []T {
	if have == nil {
		return more
	}
	return append(have, more...)
}

// page describes one page of a list.
type page struct {
	count int
	more  bool
	next  string
}

// each asks for pages until the wanted number is shown. ask gets the largest number of
// entries for its page and the cursor where it begins.
func (l *listing) each(ask func(limit int, cursor string) (page, error)) error {
	cursor, empty := l.cursor, 0
	for rest := l.limit; ; {
		size := min(rest, pageSize)
		if l.all {
			size = pageSize
		}
		got, err := ask(size, cursor)
		if err != nil {
			return err
		}
		if empty++; got.count > 0 {
			empty = 0
		}
		if rest -= got.count; !l.all && rest <= 0 || empty == emptyPages || !got.more || got.next == "" ||
			got.next == cursor {
			return nil
		}
		cursor = got.next
	}
}
