package contractor_test

import (
	"errors"
	"strings"
	"testing"

	"scimbridge/internal/contractor"
)

func TestDeviceFilterMatches(t *testing.T) {
	laptop := map[string]string{
		"isCompliant": "True", "operatingSystem": "Windows", "operatingSystemVersion": "10.0.22631", "trustType": "AzureAD",
		"displayName": "ACME-0471", "systemLabels": "M365Managed\nMultiUser",
	}
	for _, tc := range []struct {
		name, rule           string
		laptop, unregistered bool
	}{
		{"Positive", `device.isCompliant -eq True`, true, false},
		{"CaseDoesNotCount", `Device.IsCompliant -EQ "true"`, true, false},
		{"NegativeHoldsForUnregistered", `device.isCompliant -ne True`, false, true},
		{"In", `device.operatingSystem -in ["macOS", "Windows"]`, true, false},
		{"NotIn", `device.operatingSystem -notIn ["macOS", "iOS"]`, true, true},
		{"StartsWith", `device.operatingSystemVersion -startsWith "10.0"`, true, false},
		{"NotStartsWith", `device.operatingSystemVersion -notStartsWith "10.0"`, false, true},
		{"EndsWith", `device.displayName -endsWith '0471'`, true, false},
		{"ContainsPart", `device.displayName -contains "cme-"`, true, false},
		{"CollectionWantsWholeValue", `device.systemLabels -contains "M365"`, false, false},
		{"CollectionHasValue", `device.systemLabels -contains "multiuser"`, true, false},
		{"And", `device.isCompliant -eq True -and device.trustType -eq "ServerAD"`, false, false},
		{"AndBindsTighterThanOr", `device.trustType -eq "AzureAD" -or device.isCompliant -eq False -and device.trustType -eq "Workplace"`, true, false},
		{"Parentheses", `(device.trustType -eq "AzureAD" -or device.trustType -eq "ServerAD") -and device.isCompliant -eq False`, false, false},
		{"Not", `-not (device.trustType -eq "AzureAD")`, false, true},
		{"DashIsOptionalBeforeAnd", `device.isCompliant -eq True and device.trustType -eq "AzureAD"`, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := contractor.ParseDeviceFilter(tc.rule)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Match(laptop); got != tc.laptop {
				t.Errorf("the laptop: %v, want %v", got, tc.laptop)
			}
			if got := f.Match(nil); got != tc.unregistered {
				t.Errorf("a device that is not registered: %v, want %v", got, tc.unregistered)
			}
		})
	}
}

func TestDeviceFilterMistakes(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		offset int
		says   string
	}{
		{``, 0, "a comparison is missing"},
		{`device.isCompliant -eq True -and `, 33, "a comparison is missing"},
		{`isCompliant -eq True`, 0, "attributes are written device.isCompliant"},
		{`device.isComplaint -eq True`, 0, `no attribute "isComplaint"`},
		{`device.isCompliant -is True`, 19, "it takes -eq, -ne"},
		{`device.isCompliant -startsWith "T"`, 19, "it takes -eq, -ne"},
		{`device.isCompliant -eq "yes"`, 23, "it is True, False"},
		{`device.trustType -eq "AzureADJoined"`, 21, "it is AzureAD, ServerAD, Workplace"},
		{`device.model -eq Surface`, 17, "in quotes"},
		{`device.model -eq "Surface`, 17, "closing quote"},
		{`device.model -in "Surface"`, 17, "want a list"},
		{`device.model -in ["a" "b"]`, 22, "a comma or ]"},
		{`(device.isCompliant -eq True`, 28, "closing parenthesis"},
		{`device.isCompliant -eq True device.model -eq "x"`, 28, "-and or -or is wanted"},
		{strings.Repeat("(", 40) + `device.isCompliant -eq True`, 32, "nested deeper"},
		{`device.model -eq "` + strings.Repeat("x", contractor.MaxDeviceRule) + `"`, 0, "at most 3072"},
	} {
		_, err := contractor.ParseDeviceFilter(tc.rule)
		var e *contractor.DeviceFilterError
		if !errors.As(err, &e) {
			t.Errorf("%.60s: error is %v", tc.rule, err)
			continue
		}
		if e.Offset != tc.offset || !strings.Contains(e.Message, tc.says) {
			t.Errorf("%.60s: %d %q, want %d …%s…", tc.rule, e.Offset, e.Message, tc.offset, tc.says)
		}
	}
}

func FuzzParseDeviceFilter(f *testing.F) {
	f.Add(`device.isCompliant -ne True -and (device.operatingSystem -in ["Windows", "macOS"])`)
	f.Add(`-not device.trustType -eq "AzureAD" -or device.systemLabels -contains 'x'`)
	f.Add(`(((`)
	f.Fuzz(func(t *testing.T, rule string) {
		filter, err := contractor.ParseDeviceFilter(rule)
		if err != nil {
			var e *contractor.DeviceFilterError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(rule) || e.Message == "" {
				t.Fatalf("%q: %v", rule, err)
			}
			return
		}
		positive, err := contractor.ParseDeviceFilter("-not (" + rule + ")")
		if err != nil {
			return // one level deeper than allowed, or too long
		}
		if filter.Match(nil) == positive.Match(nil) {
			t.Fatalf("%q and its opposite agree", rule)
		}
	})
}
