package main

import (
	"fmt"
	"strings"
)

// guardFile is the file that is added to the package. Its names are such that no
// package has them already.
const guardFile = "zz_mutants.go"

// variable tells the test binary which mutant to be: its number, or 0 and a file
// in which to note every mutant whose place is reached.
const variable = "KEEPCAST_MUTANT"

// guardImports are the packages that guardFile needs.
func guardImports() []string {
	return []string{"bytes", "cmp", "os", "strconv", "strings", "sync/atomic"}
}

// guard returns guardFile for a package with so many mutants.
func guard(name string, mutants int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\nimport (\n", name)
	for _, path := range guardImports() {
		fmt.Fprintf(&b, "\tmutant__%s %q\n", path[strings.LastIndex(path, "/")+1:], path)
	}
	fmt.Fprintf(&b, ")\n\nconst mutant__count = %d\n\nconst mutant__variable = %q\n", mutants, variable)
	b.WriteString(guardText)
	for _, o := range operators() {
		fmt.Fprintf(&b, operatorText, o.function, o.operands, o.result, o.other, o.was)
	}
	return []byte(b.String())
}

const operatorText = `
func %s[T %s](n int, a, b T) %s {
	if mutant__(n) {
		return a %s b
	}
	return a %s b
}
`

const guardText = `
type mutant__integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

type mutant__number interface{ mutant__integer | ~float32 | ~float64 }

var mutant__run = mutant__start()

type mutant__state struct {
	active int
	notes  string
	noted  [mutant__count + 1]mutant__atomic.Bool
}

func mutant__start() *mutant__state {
	number, notes, _ := mutant__strings.Cut(mutant__order(), ":")
	active, _ := mutant__strconv.Atoi(number)
	return &mutant__state{active: active, notes: notes}
}

// A test may start this binary again, with an environment of its own: then it is
// that of the test that counts.
func mutant__order() string {
	order, ok := mutant__os.LookupEnv(mutant__variable)
	for pid := mutant__os.Getppid(); !ok && pid > 1; {
		dir := "/proc/" + mutant__strconv.Itoa(pid)
		env, err := mutant__os.ReadFile(dir + "/environ")
		if err != nil {
			break
		}
		for _, v := range mutant__bytes.Split(env, []byte{0}) {
			if value, found := mutant__bytes.CutPrefix(v, []byte(mutant__variable+"=")); found {
				return string(value)
			}
		}
		stat, _ := mutant__os.ReadFile(dir + "/stat")
		fields := mutant__bytes.Fields(stat[mutant__bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			break
		}
		pid, _ = mutant__strconv.Atoi(string(fields[1]))
	}
	return order
}

func mutant__(n int) bool {
	if mutant__run.notes != "" && mutant__run.noted[n].CompareAndSwap(false, true) {
		f, err := mutant__os.OpenFile(mutant__run.notes, mutant__os.O_WRONLY|mutant__os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString(mutant__strconv.Itoa(n) + "\n")
			_ = f.Close()
		}
		if err != nil {
			panic(err)
		}
	}
	return n == mutant__run.active
}

func mutant__error(n int, err error) error {
	if mutant__(n) {
		return nil
	}
	return err
}

func mutant__errorOf[T any](v T, err error) func(n int) (T, error) {
	return func(n int) (T, error) { return v, mutant__error(n, err) }
}

func mutant__swap[T any](n int, a, b T) (T, T) {
	if mutant__(n) {
		return b, a
	}
	return a, b
}

func mutant__minus[T mutant__number](n int, a T) T {
	if mutant__(n) {
		return a
	}
	return -a
}
`
