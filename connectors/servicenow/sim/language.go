package sim

import "strings"

// german are the error texts of an instance in German, by how they begin in English. Names of tables, rules and
// fields stay.
var german = []struct{ en, de string }{
	{"User Not Authenticated", "Benutzer nicht authentifiziert"},
	{"Required to provide Auth information", "Anmeldeinformationen sind erforderlich"},
	{"Requested URI does not represent any resource", "Der angeforderte URI stellt keine Ressource dar"},
	{"No Record found", "Kein Datensatz gefunden"},
	{"Record doesn't exist or ACL restricts the record retrieval", "Der Datensatz ist nicht vorhanden oder die ACL schränkt den Abruf ein"},
	{"Records matching query not found. Check query parameter or offset parameter", "Keine Datensätze zur Abfrage gefunden. Prüfen Sie die Abfrage- oder Offset-Parameter"},
	{"Insufficient rights to query records", "Unzureichende Rechte zum Abfragen von Datensätzen"},
	{"Field(s) present in the query do not have permission to be read", "Felder der Abfrage dürfen nicht gelesen werden"},
	{"Operation Failed", "Vorgang fehlgeschlagen"},
	{"ACL Exception Insert Failed due to security constraints", "ACL-Ausnahme: Einfügen aufgrund von Sicherheitseinschränkungen fehlgeschlagen"},
	{"ACL Exception Update Failed due to security constraints", "ACL-Ausnahme: Aktualisieren aufgrund von Sicherheitseinschränkungen fehlgeschlagen"},
	{"ACL Exception Delete Failed due to security constraints", "ACL-Ausnahme: Löschen aufgrund von Sicherheitseinschränkungen fehlgeschlagen"},
	{"Data Policy Exception: The following fields are mandatory: ", "Datenrichtlinienausnahme: Die folgenden Felder sind obligatorisch: "},
	{"Invalid table ", "Ungültige Tabelle "},
	{"Exception while reading request", "Ausnahme beim Lesen der Anforderung"},
	{"Rate limit exceeded", "Ratenlimit überschritten"},
	{"Rate limit of ", "Überschritten: Ratenlimit von "},
	{"Transaction cancelled: maximum execution time exceeded", "Transaktion abgebrochen: maximale Ausführungszeit überschritten"},
}

// germanRule translates what a business rule that aborts says, around the names in it.
var germanRule = strings.NewReplacer("Operation against file ", "Vorgang für Datei ", " was aborted by Business Rule ", " abgebrochen durch Geschäftsregel ",
	". Business Rule Stack:", ". Stapel der Geschäftsregeln:")

// in translates a failure; what has no translation stays in English, as on an instance.
func (f *failure) in(language string) *failure {
	if language != "de" {
		return f
	}
	out := *f
	for _, text := range []*string{&out.message, &out.detail} {
		for _, g := range german {
			if rest, ok := strings.CutPrefix(*text, g.en); ok {
				*text = g.de + rest
				break
			}
		}
		*text = germanRule.Replace(*text)
	}
	return &out
}
