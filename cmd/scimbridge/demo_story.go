package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The people of the story.
const (
	ada = "ada.byron@acme-consulting.example"
	bo  = "bo.diaz@kforce.example"
	cy  = "cy.young@northwind.example"
	dee = "dee.novak@kforce.example"
)

// storyLimit is when a story that does not come to its end has failed.
const storyLimit = 50 * time.Second

// tellStory plays the vendors, prints the timeline, and checks the outcome against the emulator's own state.
func tellStory(ctx context.Context, out io.Writer, st *stage) error {
	ctx, cancel := context.WithTimeout(ctx, storyLimit)
	defer cancel()
	line := newTimeline(out)
	var follower sync.WaitGroup
	followCtx, stopFollowing := context.WithCancel(ctx)
	var followErr error
	follower.Go(func() { followErr = line.follow(followCtx, st.daemon.journalAfter) })

	ends := map[string]time.Time{}
	err := play(ctx, st, line, ends)
	if err == nil {
		err = st.waitForEnd(ctx)
	}
	stopFollowing()
	follower.Wait()
	if err := errors.Join(err, followErr); err != nil {
		return err
	}
	return st.summary(context.WithoutCancel(ctx), out, ends)
}

// play is what the vendors do, and when.
func play(ctx context.Context, st *stage, line *timeline, ends map[string]time.Time) error {
	now := time.Now()
	soon := func(d time.Duration) time.Time { return now.Add(d).UTC().Truncate(time.Second) }
	sap, oktaApp, ent, rip := st.vendors["sap-ips"], st.vendors["okta"], st.vendors["entra"], st.vendors["rippling"]

	if err := st.refusals(ctx, line); err != nil {
		return err
	}
	ends["ada/sap"] = soon(9 * time.Second)
	line.say("sap-ips", "POST Ada Byron, ACME Consulting, Finance, until %s", ends["ada/sap"].Format(time.TimeOnly))
	id, err := sap.create(ctx, ada, sapIPS(ada, "Ada", "Byron", "Accountant", ends["ada/sap"]))
	if err != nil {
		return err
	}
	line.name(id, "Ada")

	line.say("okta", "POST Bo Diaz, Kforce, Developer, for 30 days")
	boID, err := oktaApp.create(ctx, bo, okta(bo, "Bo", "Diaz", "Senior Developer", now.AddDate(0, 0, 30)))
	if err != nil {
		return err
	}
	line.name(boID, "Bo")

	ends["cy"] = soon(8 * time.Second)
	line.say("entra", "POST Cy Young, Northwind, Finance, until %s", ends["cy"].Format(time.TimeOnly))
	cyID, err := ent.create(ctx, cy, entraProvisioning(cy, "Cy", "Young", "Controller", ends["cy"]))
	if err != nil {
		return err
	}
	line.name(cyID, "Cy")

	ends["ada"] = soon(17 * time.Second)
	line.say("rippling", "POST Ada Byron, Fabrikam Staffing, Engineer, until %s: the same person for a second vendor", ends["ada"].Format(time.TimeOnly))
	if id, err = rip.create(ctx, ada, rippling(ada, "Ada", "Byron", "Data Engineer", ends["ada"])); err != nil {
		return err
	}
	line.name(id, "Ada")

	if err := sleepUntil(ctx, now.Add(5*time.Second)); err != nil {
		return err
	}
	ends["cy"] = soon(14 * time.Second)
	line.say("entra", "PATCH Cy's endDate to %s: extended", ends["cy"].Format(time.TimeOnly))
	if _, err := ent.expect(ctx, http.StatusOK, http.MethodPatch, "/Users/"+cyID, entraExtend(ends["cy"])); err != nil {
		return err
	}
	if err := st.heldPerson(ctx, line); err != nil {
		return err
	}
	if err := sleepUntil(ctx, now.Add(10*time.Second)); err != nil {
		return err
	}
	ends["bo"] = time.Now()
	line.say("okta", "PATCH Bo active=false: ended early")
	_, err = oktaApp.expect(ctx, http.StatusOK, http.MethodPatch, "/Users/"+boID, oktaDeactivate())
	return err
}

// refusals are what a vendor is told at the door, and what never gets further.
func (st *stage) refusals(ctx context.Context, line *timeline) error {
	oktaApp := st.vendors["okta"]
	doc, err := oktaApp.expect(ctx, http.StatusBadRequest, http.MethodPost, "/Users", okta("mallory@contoso.example", "Mal", "Lory", "CFO", time.Now().AddDate(1, 0, 0)))
	if err != nil {
		return err
	}
	line.say("okta", "POST somebody from another company: refused, %v", doc["detail"])
	doc, err = oktaApp.expect(ctx, http.StatusBadRequest, http.MethodPost, "/Users", strings.Replace(okta(dee, "Dee", "Novak", "Tester", time.Now()), time.Now().UTC().Format("2006-01-02"), "31.12.2026", 1))
	if err != nil {
		return err
	}
	line.say("okta", "POST with an end date nobody can read: refused, %v", doc["detail"])
	return nil
}

// heldPerson has no end date: unsure means no access.
func (st *stage) heldPerson(ctx context.Context, line *timeline) error {
	rip := st.vendors["rippling"]
	body := rippling("dee.novak@fabrikam.example", "Dee", "Novak", "Tester", time.Now())
	body = body[:strings.Index(body, `, "endDate"`)] + "}}"
	id, err := rip.create(ctx, "dee.novak@fabrikam.example", body)
	if err != nil {
		return err
	}
	line.name(id, "Dee")
	deadline := time.Now().Add(5 * time.Second)
	for {
		doc, err := rip.expect(ctx, http.StatusOK, http.MethodGet, "/Users/"+id, "")
		if err != nil {
			return err
		}
		ext, _ := doc["urn:ietf:params:scim:schemas:extension:contractor:2.0:User"].(map[string]any)
		if ext["status"] == "held" {
			line.say("rippling", "POST Dee Novak without an end date: %v, %v", ext["status"], ext["statusReason"])
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("dee, who has no end date, is %v; held was expected", ext["status"])
		}
		if err := sleepUntil(ctx, time.Now().Add(100*time.Millisecond)); err != nil {
			return err
		}
	}
	_, err = rip.expect(ctx, http.StatusNoContent, http.MethodDelete, "/Users/"+id, "")
	return err
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("the story did not come to its end in %s", storyLimit)
	case <-timer.C:
		return nil
	}
}
