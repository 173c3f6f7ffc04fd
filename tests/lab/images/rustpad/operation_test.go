package main

import (
	"encoding/json"
	"testing"
)

func read(t *testing.T, text string) operation {
	t.Helper()
	var op operation
	if err := json.Unmarshal([]byte(text), &op); err != nil {
		t.Fatal(err)
	}
	return op
}

func applied(t *testing.T, text string, ops ...operation) string {
	t.Helper()
	made := []rune(text)
	for _, op := range ops {
		var err error
		if made, err = op.apply(made); err != nil {
			t.Fatal(err)
		}
	}
	return string(made)
}

func TestBothOrdersOfTwoEditsMakeOneText(t *testing.T) {
	for _, pair := range [][2]string{
		{`["one ", 5]`, `[5, " two"]`},
		{`[2, -3]`, `[-4, 1]`},
		{`[1, -2, "x", 2]`, `[2, "é", -2, 1]`},
		{`[-5, "all"]`, `[3, "in", 2]`},
	} {
		a, b := read(t, pair[0]), read(t, pair[1])
		left, err := transform(a, b)
		if err != nil {
			t.Fatal(err)
		}
		right, err := transform(b, a)
		if err != nil {
			t.Fatal(err)
		}
		if one, other := applied(t, "hello", b, left), applied(t, "hello", a, right); one != other {
			t.Errorf("%s and %s: %q after b, %q after a", pair[0], pair[1], one, other)
		}
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	if _, err := read(t, `[4]`).apply([]rune("hello")); err == nil {
		t.Error("an operation on four characters was applied to five")
	}
	if _, err := transform(read(t, `[4]`), read(t, `[5]`)); err == nil {
		t.Error("operations on different texts were transformed")
	}
	var op operation
	if err := json.Unmarshal([]byte(`[1.5]`), &op); err == nil {
		t.Error("half a character was taken")
	}
}

func TestCursorsMoveWithTheText(t *testing.T) {
	if at := read(t, `["ab", 5]`).position(3); at != 5 {
		t.Errorf("after an insertion before it: %d", at)
	}
	if at := read(t, `[1, -3, 1]`).position(3); at != 1 {
		t.Errorf("inside a deletion: %d", at)
	}
	if at := read(t, `[5, "ab"]`).position(3); at != 3 {
		t.Errorf("before an insertion: %d", at)
	}
}

func TestPartsAreWrittenInOneWayOnly(t *testing.T) {
	made, err := json.Marshal(read(t, `["a","b",1,2,-1,"c",-1,0,""]`))
	if want := `["ab",3,"c",-2]`; err != nil || string(made) != want {
		t.Errorf("%s, not %s", made, want)
	}
}

func TestJSONComesBackAsItWas(t *testing.T) {
	const text = `["x",3,-2]`
	made, err := json.Marshal(read(t, text))
	if err != nil || string(made) != text {
		t.Errorf("%s became %s", text, made)
	}
}
