package checks

import "testing"

func TestCodes(t *testing.T) {
	for text, tt := range map[string]struct {
		in, out []int
		err     string
	}{
		"200":                {in: []int{200}, out: []int{199, 201}},
		"2xx":                {in: []int{200, 250, 299}, out: []int{199, 300}},
		"2XX, 301":           {in: []int{204, 301}, out: []int{300, 302}},
		"200 - 204,401-403 ": {in: []int{200, 204, 401, 403}, out: []int{205, 400, 404}},
		"":                   {err: `"" is no status code from 100 to 599, no range like 200-299 and no class like 2xx`},
		"200,":               {err: `"" is no status code from 100 to 599, no range like 200-299 and no class like 2xx`},
		"2x":                 {err: `"2x" is no status code from 100 to 599, no range like 200-299 and no class like 2xx`},
		"2xx-3xx":            {err: `"2xx-3xx" is no status code from 100 to 599, no range like 200-299 and no class like 2xx`},
		"xx":                 {err: `"xx" is no status code from 100 to 599, no range like 200-299 and no class like 2xx`},
		"6xx":                {err: `"6xx" is no status code from 100 to 599, no range like 200-299 and no class like 2xx`},
		"299-200":            {err: `"299-200" is no status code from 100 to 599, no range like 200-299 and no class like 2xx`},
		"20":                 {err: `"20" is no status code from 100 to 599, no range like 200-299 and no class like 2xx`},
	} {
		t.Run(text, func(t *testing.T) {
			var c Codes
			err := c.UnmarshalText([]byte(text))
			sameError(t, err, tt.err, "")
			if err != nil {
				return
			}
			for _, code := range tt.in {
				if !c.Has(code) {
					t.Errorf("%d is missing", code)
				}
			}
			for _, code := range tt.out {
				if c.Has(code) {
					t.Errorf("%d is not wanted", code)
				}
			}
			if again, err := c.MarshalText(); err != nil || string(again) != text {
				t.Errorf("written again: %q, %v", again, err)
			}
		})
	}
}

// codes is for tests that write a set of codes.
func codes(t *testing.T, text string) Codes {
	t.Helper()
	var c Codes
	if err := c.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return c
}
