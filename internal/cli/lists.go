package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// Lists of messages number their entries. "amtp read 1" means the first message of the
// last list that this profile showed at this terminal. Without a terminal it means the
// last list that was shown without one. A file of the user's remembers the list. It
// holds only ids of messages.

// The lists whose numbers can be used.
const (
	fromInbox   = "inbox"
	fromSent    = "sent"
	fromThreads = "threads"
	fromSearch  = "search"
)

// shownList is the content of such a file.
type shownList struct {
	What string           `json:"what"` // fromInbox, fromSent, fromThreads or fromSearch
	At   time.Time        `json:"at"`
	IDs  []amtp.MessageID `json:"ids"`
	From int              `json:"from"` // the number of the first
}

// listTime is how long the numbers of a list are valid.
const listTime = 24 * time.Hour

// terminal is a name of the terminal at which the command runs, "" for none. Each
// window and each login has one of its own.
func (p *program) terminal() string {
	if p.goos == "windows" {
		return p.getenv("WT_SESSION")
	}
	return p.session()
}

// listFile is the file with the last list of the profile at this terminal, "" when there is
// no place for it.
func (p *program) listFile(id *profile.Identity) string {
	dir := p.getenv("XDG_STATE_HOME")
	switch {
	case filepath.IsAbs(dir):
	case p.goos == "windows":
		dir = p.getenv("LocalAppData")
	case p.home != "" && p.goos == "darwin":
		dir = filepath.Join(p.home, "Library", "Application Support")
	case p.home != "":
		dir = filepath.Join(p.home, ".local", "state")
	}
	file, err := filepath.Abs(id.Path)
	if !filepath.IsAbs(dir) || err != nil {
		return ""
	}
	of := sha256.Sum256([]byte(strings.Join([]string{file, id.Profile, id.Gateway, cmp.Or(id.Address, id.Key),
		p.mailbox, p.terminal()}, "\x00")))
	return filepath.Join(dir, "amtp", "list-"+hex.EncodeToString(of[:8])+".json")
}

// remember stores which messages were shown under which numbers. If that cannot be
// written, numbers are not known afterwards, and nothing else is lost.
func (p *program) remember(id *profile.Identity, list shownList) {
	name := p.listFile(id)
	if name == "" {
		return
	}
	list.At = p.now().UTC()
	b, err := json.Marshal(list)
	if err != nil || os.MkdirAll(filepath.Dir(name), 0o700) != nil {
		return
	}
	p.dropLists(filepath.Dir(name))
	_ = managedfile.Replace(managedfile.Target(name), append(b, '\n'))
}

// dropLists removes the lists of terminals whose numbers are no longer valid.
func (p *program) dropLists(dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "list-*.json"))
	if err != nil {
		return
	}
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && p.now().Sub(info.ModTime()) > listTime {
			_ = os.Remove(name)
		}
	}
}

// lastList returns the list that was shown last.
func (p *program) lastList(id *profile.Identity) (last shownList, known bool) {
	b, err := os.ReadFile(p.listFile(id))
	if err != nil || json.Unmarshal(b, &last) != nil {
		return shownList{}, false
	}
	age := p.now().Sub(last.At)
	return last, age > -time.Minute && age < listTime
}

// numbered returns the message with a number in the last list, or arg itself when that
// is no number of a list. With --json an argument is always an id.
func (p *program) numbered(id *profile.Identity, arg, of string) (amtp.MessageID, error) {
	n, err := strconv.Atoi(arg)
	if p.json || err != nil || n < 1 || len(arg) > 4 || arg[0] == '0' {
		return amtp.MessageID(arg), nil
	}
	last, known := p.lastList(id)
	if n >= 1000 && n >= last.From+len(last.IDs) {
		return amtp.MessageID(arg), nil // as long as a short id, and no number
	}
	if at := n - last.From; known && at >= 0 && at < len(last.IDs) {
		for i, other := range last.IDs {
			if string(other) == arg && i != at {
				return "",
					usageErrorf(
						"%s is the number of one message and the id of another, number %d: give the id of the first, or the number of the second.",
						arg,
						i+last.From,
					)
			}
		}
		if of != "" && last.What != of {
			f := usageErrorf("The last list was that of amtp %s: %s is no number of your %s.", last.What, arg, of)
			f.hint = "amtp " + of + p.again() + ", then the number that it shows; or give the message's id"
			return "", f
		}
		return last.IDs[at], nil
	}
	f := &failure{exit: exitNotFound, code: amtp.CodeMessageNotFound,
		message: fmt.Sprintf("There is no message with the number %s in the last list.", arg)}
	if !known {
		f.message = "No list was shown here in the last 24 hours, so no message has the number " + arg + "."
	}
	f.hint = "amtp " + cmp.Or(of, fromInbox) + p.again() + ", then the number that it shows; or give the message's id"
	return "", f
}

// shortest is how many characters of an id name its message, if no other message has
// them.
const shortest = 4

// withMessage calls with the message that an argument names: by its number in the last list,
// by its id, or by the beginning or the end of one that no other message has. of is the
// list whose numbers count, "" for any.
func withMessage[T any](ctx context.Context, p *program, id *profile.Identity, arg, of string,
	call func(amtp.MessageID) (T, error)) (result T, err error) {
	messageID, err := p.numbered(id, arg, of)
	if err != nil {
		return result, err
	}
	result, err = call(messageID)
	var refused *amtp.Error
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound && string(messageID) != arg {
		f := p.explain(refused)
		f.message = fmt.Sprintf("Number %s of the last list, %s, is no longer there.", arg, messageID)
		return result, f
	}
	if !errors.As(err, &refused) || refused.Status != http.StatusNotFound || len(arg) < shortest || len(arg) >= 36 {
		return result, err
	}
	whole, failed := p.completed(ctx, id, arg, of)
	if failed != nil {
		return result, failed
	}
	if whole == "" {
		return result, err
	}
	return call(whole)
}

// completed returns the one message whose id begins or ends with part, "" when there is
// none. It looks at the last list first, then at the inbox and, unless of names another
// list, at the messages that were sent.
func (p *program) completed(ctx context.Context, id *profile.Identity, part, of string) (amtp.MessageID, error) {
	var found []amtp.MessageID
	look := func(messageID amtp.MessageID) {
		s := string(messageID)
		if !strings.HasPrefix(s, part) && !strings.HasSuffix(s, part) {
			return
		}
		for _, f := range found {
			if f == messageID {
				return
			}
		}
		found = append(found, messageID)
	}
	if last, known := p.lastList(id); known && (of == "" || last.What == of) {
		for _, messageID := range last.IDs {
			look(messageID)
		}
	}
	if len(found) == 0 {
		if err := p.lookEverywhere(ctx, id, of, look); err != nil {
			return "", err
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	f := usageErrorf("%q is the beginning or end of %d messages' ids: %s.", part, len(found), someIDs(found))
	f.hint = "give more of it, or the number in the last list"
	return "", f
}

// mostLooked is how many messages a short id is compared with.
const mostLooked = 2000

// lookEverywhere gives look the ids in the inbox and of the messages that were sent, up
// to mostLooked of each.
func (p *program) lookEverywhere(
	ctx context.Context,
	id *profile.Identity,
	of string,
	look func(amtp.MessageID),
) error {
	if id.Key == "" {
		return nil
	}
	self, err := p.self(ctx, id)
	if err != nil {
		return err
	}
	c, n := p.client(id), 0
	for m, err := range c.AllInbox(ctx, self, amtp.InboxQuery{}) {
		if err != nil {
			return err
		}
		if look(m.MessageID); n == mostLooked {
			break
		}
		n++
	}
	if of != "" {
		return nil
	}
	n = 0
	for m, err := range c.AllMessages(ctx, amtp.MessageQuery{Sent: true}) {
		if err != nil {
			return err
		}
		if look(m.MessageID); n == mostLooked {
			break
		}
		n++
	}
	return nil
}

// someIDs lists ids; of many only the first.
func someIDs(list []amtp.MessageID) string {
	var words []string
	for i, m := range list {
		if i == 5 {
			words = append(words, "…")
			break
		}
		words = append(words, render.Clean(string(m)))
	}
	return strings.Join(words, ", ")
}
