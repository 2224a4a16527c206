package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
)

// failure is an error and what the user is told about it.
type failure struct {
	exit      int
	code      amtp.Code
	message   string
	details   map[string]any
	hint      string // what to do next: a command to type
	retryable bool   // the same command may succeed later
	quiet     bool   // the result on stdout says it already
	gateway   bool   // the gateway said so: the code is shown
}

func (f *failure) Error() string { return f.message }

// Codes of failures that no gateway reported; they stand in JSON output only.
const (
	codeUsage       amtp.Code = "USAGE"
	codeNotSetUp    amtp.Code = "NOT_SET_UP"
	codeUnreachable amtp.Code = "GATEWAY_UNREACHABLE"
	codeNothing     amtp.Code = "NOTHING_YET"
	codeInterrupted amtp.Code = "INTERRUPTED"
)

func usageErrorf(format string, args ...any) *failure {
	return &failure{exit: exitUsage, code: codeUsage, message: fmt.Sprintf(format, args...)}
}

func unknownCommand(cmd *cobra.Command, name string) error {
	f := usageErrorf("Unknown command: %q. Run %q for usage.", name, cmd.CommandPath()+" help")
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		f.hint = fmt.Sprintf("Did you mean %q?", cmd.CommandPath()+" "+near[0])
	}
	return f
}

// sentence makes an error of another package readable as ours.
func sentence(err error) string {
	s := err.Error()
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(s[size:], ".") + "."
}

// report tells the user about err and returns the exit code.
func (p *program) report(err error) int {
	if err == nil {
		return exitDone
	}
	f := explain(err)
	if f.quiet {
		return f.exit
	}
	label := "Error"
	if f.gateway {
		label = fmt.Sprintf("Error (%s)", clean(string(f.code)))
	}
	fmt.Fprintf(p.stderr, "%s: %s\n", label, clean(f.message))
	if len(f.details) > 0 {
		fmt.Fprintf(p.stderr, "  Details: %s\n", cleanJSON(f.details))
	}
	if f.hint != "" {
		fmt.Fprintf(p.stderr, "  Hint: %s\n", clean(f.hint))
	}
	if p.json {
		p.printFailure(f)
	}
	return f.exit
}

func (p *program) printFailure(f *failure) {
	type problem struct {
		Code      amtp.Code      `json:"code"`
		Message   string         `json:"message"`
		Hint      string         `json:"hint"`
		Retryable bool           `json:"retryable"`
		Details   map[string]any `json:"details,omitempty"`
	}
	p.printJSON(struct {
		OK    bool    `json:"ok"`
		Error problem `json:"error"`
	}{false, problem{f.code, f.message, f.hint, f.retryable, f.details}})
}

// explain finds out what any error means to the user.
func explain(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var answer *amtp.Error
	if errors.As(err, &answer) {
		return explainAnswer(answer)
	}
	if errors.Is(err, context.Canceled) {
		return &failure{exit: exitInternal, code: codeInterrupted, message: "Interrupted.", retryable: true}
	}
	return &failure{exit: exitInternal, code: amtp.CodeInternal, message: sentence(err)}
}

func explainAnswer(e *amtp.Error) *failure {
	return &failure{
		exit: exitFor(e), code: e.Code, message: e.Message, details: e.Details, gateway: true,
		retryable: e.Status == http.StatusTooManyRequests || e.Status >= 502,
	}
}

func exitFor(e *amtp.Error) int {
	switch e.Code {
	case amtp.CodeSchemaValidation, amtp.CodeMessageTooLarge, amtp.CodeRateLimitExceeded:
		return exitRefused
	case amtp.CodeIdempotencyKeyReused:
		return exitConflict
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return exitUsage
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitUnauthorised
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict:
		return exitConflict
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnreachable
	}
	return exitInternal
}

func cleanJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return clean(string(b))
}
