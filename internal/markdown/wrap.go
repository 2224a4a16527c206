// Package markdown wraps the prose of Markdown pages, so that a change of a sentence is
// a change of its lines and of no others.
package markdown

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Width is how many columns a line of prose may have.
const Width = 100

var (
	marker = regexp.MustCompile(`^(\s*)([-*+]|\d{1,9}[.)])(\s+)\S`)
	fence  = regexp.MustCompile("^\\s*(```+|~~~+)")
	// verbatim lines are separate blocks: headings, tables, rules, HTML, and the
	// targets of links.
	verbatim = regexp.MustCompile(`^\s*(#{1,6} |\||<|\[[^]]+\]: |([-*_] ?){3,}\s*$)`)
	// leading words would have another meaning at the beginning of a line.
	leading = regexp.MustCompile(`^([-*+#>|=]+|\d{1,9}[.)])$|^[|<]|^#{1,6}$|^~~~|^` + "```")
)

// Wrap returns the page with every paragraph and list item filled up to Width columns.
// Code, tables, headings, HTML, front matter and links' targets stay as they are, as
// does a line that ends with two spaces or a backslash. A code span and a word are
// never broken, so a line with a long one may be longer. Wrap(Wrap(s)) is Wrap(s).
func Wrap(page string) string {
	w := wrapper{lines: strings.Split(page, "\n")}
	w.frontMatter()
	for w.at < len(w.lines) {
		w.block()
	}
	return strings.Join(w.out, "\n")
}

type wrapper struct {
	lines []string
	at    int
	out   []string
	items []int // columns of the text of the list items that are open here
}

func (w *wrapper) take() {
	w.out = append(w.out, w.lines[w.at])
	w.at++
}

func (w *wrapper) frontMatter() {
	if w.lines[0] != "---" {
		return
	}
	for w.take(); w.at < len(w.lines) && w.lines[w.at] != "---"; {
		w.take()
	}
}

// block writes the block that begins at the next line.
func (w *wrapper) block() {
	line := w.lines[w.at]
	indent := len(line) - len(strings.TrimLeft(line, " "))
	switch {
	case strings.TrimSpace(line) == "":
		w.take()
		return
	case fence.MatchString(line):
		w.code(fence.FindStringSubmatch(line)[1])
		return
	}
	for len(w.items) > 0 && indent < w.items[len(w.items)-1] {
		w.items = w.items[:len(w.items)-1]
	}
	text := 0
	if len(w.items) > 0 {
		text = w.items[len(w.items)-1]
	}
	switch m := marker.FindStringSubmatch(line); {
	case indent >= text+4, verbatim.MatchString(line), strings.HasPrefix(line, ">"):
		w.take()
	case m != nil:
		text = len(m[1]) + len(m[2]) + len(m[3])
		w.items = append(w.items, text)
		w.paragraph(line[:text], strings.Repeat(" ", text), line[text:])
	default:
		w.paragraph(line[:indent], line[:indent], line[indent:])
	}
}

// code writes a block of code to its end.
func (w *wrapper) code(mark string) {
	for w.take(); w.at < len(w.lines); {
		end := strings.HasPrefix(strings.TrimSpace(w.lines[w.at]), mark)
		w.take()
		if end {
			return
		}
	}
}

// paragraph fills the lines of a paragraph that begins with text and goes on below.
// first and rest are the prefixes of the first line and of every other line.
func (w *wrapper) paragraph(first, rest, text string) {
	words := split(text)
	for w.at++; w.at < len(w.lines) && !breaks(text); w.at++ {
		line := w.lines[w.at]
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, ">") ||
			fence.MatchString(line) || verbatim.MatchString(line) || w.begins(line) {
			break
		}
		text = text + "\n" + strings.TrimLeft(line, " ")
		words = split(text)
	}
	end := ""
	if breaks(text) && strings.HasSuffix(text, "  ") {
		end = "  "
	}
	w.fill(first, rest, words)
	w.out[len(w.out)-1] += end
}

// begins reports whether the line begins a list item and so ends the paragraph before it.
// Outside of a list only the number 1 does (CommonMark 0.31 §5.3): 077. is text there.
func (w *wrapper) begins(line string) bool {
	m := marker.FindStringSubmatch(line)
	return m != nil && (len(w.items) > 0 || strings.ContainsAny(m[2], "-*+") || m[2][:len(m[2])-1] == "1")
}

// breaks reports whether the page has a line break after the text.
func breaks(text string) bool { return strings.HasSuffix(text, "  ") || strings.HasSuffix(text, `\`) }

func (w *wrapper) fill(first, rest string, words []string) {
	line, columns := first, utf8.RuneCountInString(first)
	for i, word := range words {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case columns+1+n > Width:
			w.out = append(w.out, line)
			line, columns = rest, utf8.RuneCountInString(rest)
		default:
			line += " "
			columns++
		}
		line += word
		columns += n
	}
	w.out = append(w.out, line)
}

// split returns the words of a text. A space between backquotes does not end a word.
func split(text string) []string {
	var words []string
	var word strings.Builder
	ticks := 0 // of the open code span
	end := func() {
		switch n := len(words); {
		case word.Len() == 0:
			return
		case n > 0 && leading.MatchString(word.String()): // it stays with the word before it
			words[n-1] += " " + word.String()
		default:
			words = append(words, word.String())
		}
		word.Reset()
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '`':
			n := len(text[i:]) - len(strings.TrimLeft(text[i:], "`"))
			switch {
			case ticks == n:
				ticks = 0
			case ticks == 0 && strings.Contains(text[i+n:], text[i:i+n]):
				ticks = n
			}
			word.WriteString(text[i : i+n])
			i += n
			continue
		case c == '\n' && ticks > 0:
			word.WriteByte(' ')
		case (c == ' ' || c == '\n') && ticks == 0:
			end()
		default:
			word.WriteByte(c)
		}
		i++
	}
	end()
	return words
}
