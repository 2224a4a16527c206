package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/amtp-go/amtp/internal/render"
)

// meantBy are words that people type for commands with other names.
var meantBy = map[string]string{
	"register": "setup --name NAME", "login": "setup --name NAME", "init": "setup --name NAME",
	"signup": "setup --name NAME", "auth": "setup --name NAME",
	"logout": "profile remove NAME --yes", "leave": "unregister --yes",
	"list": "inbox", "ls": "inbox", "messages": "inbox", "receive": "inbox", "fetch": "inbox", "mail": "inbox",
	"check-mail": "inbox", "grep": "search WORDS",
	"listen": "watch", "follow": "watch", "tail": "watch",
	"subscribe": "watch", "poll": "wait",
	"show": "read ID", "view": "read ID", "open": "read ID", "get": "read ID", "cat": "read ID",
	"answer": "reply ID", "respond": "reply ID", "delete": "ack ID", "remove": "ack ID", "rm": "ack ID",
	"done": "ack ID", "acknowledge": "ack ID",
	"outbox": "sent", "history": "sent", "track": "status ID",
	"agents": "discover", "contacts": "discover", "directory": "discover", "find": "discover", "who": "discover",
	"users": "discover",
	"me":    "whoami", "profiles": "profile list", "accept": "join CODE", "add": "invite NAME",
	"start": "serve", "run": "serve", "server": "serve", "gateway": "serve", "daemon": "service install",
	"stop": "service remove", "logs": "service logs", "log": "service logs",
	"settings": "config show", "configure": "config show", "health": "doctor", "ping": "doctor --probe ADDRESS",
	"test": "doctor", "diagnose": "doctor", "fix": "doctor",
	"key": "keys list", "certificate": "cert show", "peers": "peer list", "jobs": "queue list",
	"deadletters": "dead list", "dlq": "dead list", "install": "skill install", "migrate": "migrate-store",
}

// nearestCommand returns the command below cmd that a user who typed an unknown word
// probably meant, "" when none is likely.
func nearestCommand(cmd *cobra.Command, word string) string {
	word = strings.ToLower(word)
	if meant, known := meantBy[word]; known && !cmd.HasParent() {
		return meant
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			names = append(names, sub.Name())
		}
	}
	return nearest(word, names)
}

// nearest returns the word that is most like the typed one, with a mistake in three
// letters or fewer, and in less than half of them. Else it returns the first word with
// that beginning; "" for none.
func nearest(typed string, words []string) (best string) {
	least := min(3, len(typed)/2) + 1
	for _, w := range words {
		if d := distance(typed, w); d < least {
			best, least = w, d
		}
	}
	if best == "" && len(typed) > 1 {
		for _, w := range words {
			if strings.HasPrefix(w, typed) {
				return w
			}
		}
	}
	return best
}

// distance is how many letters must be added, dropped, changed or swapped with the next
// to turn a into b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// badFlag turns an error of the flag parser into a failure, in words for users and with
// a suggestion.
func (p *program) badFlag(cmd *cobra.Command, err error) error {
	if word := p.commandBefore(cmd, err); word != "" {
		return unknownCommand(cmd, word)
	}
	f := usageErrorf("%s", render.Sentence(err))
	var unknown *pflag.NotExistError
	var value *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := nearest(unknown.GetSpecifiedName(), names); near != "" {
			f.hint = fmt.Sprintf("did you mean --%s? All flags: %s --help", near, cmd.CommandPath())
		}
	case errors.As(err, &value):
		f.message = fmt.Sprintf("--%s: %q is %s.", value.GetFlag().Name, value.GetValue(),
			notA[value.GetFlag().Value.Type()])
		if notA[value.GetFlag().Value.Type()] == "" {
			f.message = fmt.Sprintf("--%s: %q cannot be its value: %v.", value.GetFlag().Name, value.GetValue(),
				value.Unwrap())
		}
		if value.GetFlag().Value.Type() == "duration" {
			f.hint = "write a time with its unit, such as 30s, 5m or 1h"
		}
	}
	return f
}

// notA says what a flag's value is not, by the type of the flag.
var notA = map[string]string{"int": "not a whole number", "duration": "not a length of time",
	"bool": "neither true nor false"}

// commandBefore returns the unknown command before an unknown flag, "" for none: the
// flag belongs to the command that the user meant.
func (p *program) commandBefore(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if _, holds := cmd.Annotations[onlyHolds]; !holds || !errors.As(err, &unknown) {
		return ""
	}
	above := strings.Fields(cmd.CommandPath())[1:]
	for _, word := range p.args {
		switch {
		case strings.HasPrefix(word, "-"):
			return ""
		case len(above) > 0 && word == above[0]:
			above = above[1:]
		default:
			return word
		}
	}
	return ""
}
