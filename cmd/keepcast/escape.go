package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// escaped is the one place where what the commands print is made harmless. Reasons of
// drains, names of files and errors of daemons come from others: a control character in
// them would be an order to the terminal of whoever looks. So everything but text, line
// ends and tabs is written as an escape. The escapes are those of JSON, which therefore
// stays the same to whoever reads it: such characters stand within its strings only.
type escaped struct {
	out io.Writer

	mu  sync.Mutex // guards cut: the log is written while an error is printed
	cut []byte     // the begin of a character whose rest is not written yet
}

// printer is what a command prints to.
func printer(c *cobra.Command) *escaped { return c.OutOrStdout().(*escaped) }

// Write writes text, escaped.
func (e *escaped) Write(text []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := append(e.cut, text...)
	whole := complete(all)
	e.cut = append([]byte(nil), all[whole:]...)
	if _, err := io.WriteString(e.out, escape(string(all[:whole]))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// flush writes what can't become a whole character any more.
func (e *escaped) flush() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.cut) == 0 {
		return nil
	}
	_, err := io.WriteString(e.out, escape(string(e.cut)))
	e.cut = nil
	return err
}

// repaint shows text on a screen that was cleared for it (ECMA-48: CUP, ED). It is the one
// place that sends orders to the terminal.
func (e *escaped) repaint(text string) error {
	_, err := io.WriteString(e.out, "\x1b[H\x1b[2J"+escape(text))
	return err
}

// file is where a file for a program is printed: byte for byte, unless somebody looks.
func (e *escaped) file() io.Writer {
	if f, ok := e.out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return e
		}
	}
	return e.out
}

// complete is the length of text without a character at its end that is cut off.
func complete(text []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				return at
			}
			break
		}
	}
	return len(text)
}

// escape makes of text what a terminal shows and does not obey. Beside control characters
// these are the invisible ones that turn the direction of a line or hide a part of it.
func escape(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case r == '\n' || r == '\t' || unicode.IsGraphic(r):
			b.WriteString(text[:n])
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
		text = text[n:]
	}
	return b.String()
}

// oneLine makes one line, in one column, of what others said. A form feed and a vertical
// tab would end a line and a cell of the table, too.
func oneLine(text string) string {
	return strings.NewReplacer("\n", "; ", "\t", " ", "\v", " ", "\f", " ").Replace(strings.TrimSpace(text))
}
