package siem

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"scimbridge/internal/audit"
)

const (
	// webhookTimeout bounds one batch, answer included.
	webhookTimeout = 30 * time.Second

	// maxAnswer is how much of an answer is read: none of it is looked at.
	maxAnswer = 64 << 10

	batchType = "application/cloudevents-batch+json; charset=UTF-8"
)

// webhookSender posts batches of CloudEvents.
type webhookSender struct {
	settings *Webhook
	personal bool
	version  string
	origin   string // of the log: with an event's number it is unique
	client   *http.Client
	size     int // of a batch: less than the setting after a receiver found one too large
}

func newWebhook(s *Sink, cfg *Config) (*webhookSender, error) {
	tlsCfg, err := tlsConfig(s.Webhook.TLS)
	if err != nil {
		return nil, err
	}
	if _, err := readSecret(s.Webhook.SecretFile); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsCfg, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTimeout,
		ResponseHeaderTimeout: webhookTimeout, MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
	return &webhookSender{
		settings: s.Webhook, personal: s.Personal, version: cfg.Version, origin: cfg.Sealer.Key.Origin(), size: s.Webhook.Batch,
		client: &http.Client{
			Transport: transport, Timeout: webhookTimeout,
			// A redirect could lead the events to anybody.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (w *webhookSender) batch() int                    { return w.size }
func (*webhookSender) settled(time.Time) (bool, error) { return true, nil }
func (w *webhookSender) close()                        { w.client.CloseIdleConnections() }

// cloudEvent is an event in CloudEvents 1.0's JSON format, with the sequence extension.
type cloudEvent struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject,omitempty"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	Sequence        string `json:"sequence,omitempty"`
	Data            any    `json:"data"`
}

func (w *webhookSender) send(ctx context.Context, events []audit.Event) error {
	batch := make([]cloudEvent, len(events))
	for i := range events {
		e := &events[i]
		batch[i] = cloudEvent{
			SpecVersion: "1.0", ID: strconv.FormatInt(e.Seq, 10), Source: w.origin, Type: "scimbridge." + e.Kind,
			Time: e.Time.UTC().Format(time.RFC3339Nano), DataContentType: "application/json",
			Sequence: fmt.Sprintf("%020d", e.Seq), Data: e.Export(w.personal), // of one length, so that it sorts as text
		}
		if e.Person != "" {
			batch[i].Subject = "person/" + e.Person
		}
	}
	id := fmt.Sprintf("%s/%d-%d", w.origin, events[0].Seq, events[len(events)-1].Seq)
	return w.post(ctx, id, batch)
}

func (w *webhookSender) checkpoint(ctx context.Context, c audit.SignedCheckpoint) error {
	id := fmt.Sprintf("checkpoint-%d", c.Size)
	return w.post(ctx, c.Origin+"/"+id, []cloudEvent{{
		SpecVersion: "1.0", ID: id, Source: c.Origin, Type: "scimbridge.checkpoint",
		Time: time.Now().UTC().Format(time.RFC3339Nano), DataContentType: "application/json", Data: checkpointData(c),
	}})
}

// post sends one batch. id is the same whenever the same batch is sent again.
func (w *webhookSender) post(ctx context.Context, id string, batch []cloudEvent) error {
	body, err := json.Marshal(batch)
	if err != nil {
		return err
	}
	secret, err := readSecret(w.settings.SecretFile)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.settings.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", batchType)
	req.Header.Set("User-Agent", "scimbridge/"+w.version)
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", stamp)
	req.Header.Set("webhook-signature", Signature(secret, id, stamp, body))
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("the webhook was not reached: %w", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection can be used again
	_ = resp.Body.Close()
	return w.judge(resp, len(batch))
}

// judge sorts an answer. Whatever it is, the events are sent until they are taken: none is given up.
func (w *webhookSender) judge(resp *http.Response, n int) error {
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		w.size = min(w.size*2, w.settings.Batch)
		return nil
	case code == http.StatusRequestEntityTooLarge && n > 1:
		w.size = max(n/2, 1)
		return &pause{0, fmt.Errorf("the webhook finds %d events too large; they are sent in smaller batches", n)}
	case code >= 300 && code < 400:
		return fmt.Errorf("the webhook redirects (HTTP %d); set url to where it is", code)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("the webhook refuses us (HTTP %d); check that it has the secret of secret_file and the right time", code)
	default:
		return &pause{retryAfter(resp.Header.Get("Retry-After"), time.Now()), fmt.Errorf("the webhook answered HTTP %d", code)}
	}
}

// retryAfter reads the header of RFC 9110 section 10.2.3: seconds, or a date. 0 if it is neither.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 20); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// Signature is the header webhook-signature of Standard Webhooks: version 1, HMAC-SHA256 over id, timestamp (Unix seconds) and body.
func Signature(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// readSecret reads the secret of a webhook.
func readSecret(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	text := strings.TrimSpace(string(b))
	secret := []byte(text)
	if encoded, ok := strings.CutPrefix(text, "whsec_"); ok {
		if secret, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("secret_file: what follows whsec_ is not base64")
		}
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("secret_file: the secret has %d bytes; it needs at least %d, such as those of: openssl rand -base64 32", len(secret), minSecret)
	}
	return secret, nil
}
