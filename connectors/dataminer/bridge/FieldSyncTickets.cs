// FieldSyncTickets answers the calls of fieldsync's bridge that are about tickets of today's Ticketing (the Standard Solution),
// which has no interface over HTTP. It is a script of its own beside FieldSyncBridge, because it needs the solution's package
// and would not compile where that is missing. README.md says how to publish it, which of the names below public samples show,
// and which are guessed. The tests run it under Mono on stand-ins written by hand; it has never met the package, nor an Agent.
//
// It keeps nothing between calls. A write reads the ticket as it is, sets what was sent, and leaves the rest alone.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;
using Skyline.DataMiner.Automation;
using Skyline.DataMiner.Net;
using Skyline.DataMiner.Net.Apps.UserDefinableApis;
using Skyline.DataMiner.Net.Apps.UserDefinableApis.Actions;
using Skyline.DataMiner.Net.Messages;
using Skyline.DataMiner.Net.Messages.SLDataGateway;
using Skyline.DataMiner.SDM.Ticketing;
using Skyline.DataMiner.SDM.Ticketing.Models;

// The messages of alarms have types of the same names.
using TicketType = Skyline.DataMiner.SDM.Ticketing.Models.TicketType;

public class Script
{
    private const int Contract = 1;
    private const int LargestPage = 1000;
    private const string External = "external.";

    [AutomationEntryPoint(AutomationEntryPointType.Types.OnApiTrigger)]
    public ApiTriggerOutput OnApiTrigger(IEngine engine, ApiTriggerInput requestData)
    {
        try
        {
            var helper = new TicketingApiHelper(engine.GetUserConnection());
            var call = requestData.RequestMethod.ToString().ToUpperInvariant() + " " + requestData.Route.Trim('/').ToLowerInvariant();
            switch (call)
            {
                case "GET fieldsync/ticketing":
                    return Answer(StatusCode.Ok, Info(helper));
                case "POST fieldsync/tickets":
                    return Answer(StatusCode.Ok, Tickets(engine, helper, Body(requestData)));
                case "POST fieldsync/ticket":
                    return Answer(StatusCode.Created, Create(engine, helper, Body(requestData)));
                case "PUT fieldsync/ticket":
                    return Answer(StatusCode.Ok, Update(engine, helper, Key(requestData), Body(requestData)));
                case "DELETE fieldsync/ticket":
                    helper.Tickets.Delete(One(helper, Key(requestData)));
                    return new ApiTriggerOutput { ResponseCode = (int)StatusCode.NoContent, ResponseBody = string.Empty };
                case "POST fieldsync/notes":
                    return Answer(StatusCode.Ok, Notes(helper, Body(requestData)));
                case "POST fieldsync/note":
                    return Answer(StatusCode.Created, AddNote(helper, Body(requestData)));
                default:
                    return Complain(StatusCode.NotFound, "this script does not serve " + call);
            }
        }
        catch (BadRequestException e)
        {
            return Complain(StatusCode.BadRequest, e.Message);
        }
        catch (NotThereException e)
        {
            return Complain(StatusCode.NotFound, e.Message);
        }
        catch (Exception e)
        {
            // The message alone: what called what is for the log of the Agent.
            engine.Log("fieldsync tickets: " + e);
            return Complain(StatusCode.InternalServerError, e.GetType().Name + ": " + e.Message);
        }
    }

    private static object Info(TicketingApiHelper helper)
    {
        return new
        {
            contract = Contract,
            timeUTC = Milliseconds(DateTime.UtcNow),
            types = helper.TicketTypes.Read(new TRUEFilterElement<TicketType>()).Select(t => t.Name).OrderBy(n => n, StringComparer.Ordinal).ToArray(),
            owners = helper.ExternalOwners.Read(new TRUEFilterElement<ExternalOwner>()).Select(o => o.Name).OrderBy(n => n, StringComparer.Ordinal).ToArray(),
        };
    }

    // A page of tickets by last change and then GUID.
    private static object Tickets(IEngine engine, TicketingApiHelper helper, JObject body)
    {
        var asOf = Milliseconds(DateTime.UtcNow); // before the look, so that what changes during it is seen again
        var limit = Limit(body);
        var since = (long?)body["since"] ?? 0;
        var after = (string)body["after"] ?? string.Empty;
        var path = (string)body["path"] ?? string.Empty;
        var values = new HashSet<string>(Texts(body["values"]) ?? new string[0], StringComparer.Ordinal);
        var ids = Texts(body["ids"]);

        IEnumerable<Ticket> candidates;
        if (ids != null)
        {
            candidates = ids.Select(id => Found(helper, id)).Where(t => t != null);
        }
        else if (path.StartsWith(External, StringComparison.Ordinal))
        {
            candidates = values.SelectMany(v => helper.Tickets.Read(TicketExposers.ExternalIdentifiers.ExternalId.Equal(v)));
        }
        else if (path == "number")
        {
            candidates = values.SelectMany(v => helper.Tickets.Read(TicketExposers.ID.Equal(v)));
        }
        else if (since > 0)
        {
            candidates = helper.Tickets.Read(TicketExposers.LastModified.GreaterThanOrEqual(Instant(since)));
        }
        else
        {
            candidates = helper.Tickets.Read(new TRUEFilterElement<Ticket>());
        }

        var found = candidates
            .GroupBy(t => t.Guid)
            .Select(g => g.First())
            .Where(t => Milliseconds(t.LastModified.ToUniversalTime()) >= since)
            .Where(t => path.Length == 0 || values.Contains(ValueOf(t, path)))
            .Select(t => new { position = Position(t), ticket = t })
            .Where(p => string.CompareOrdinal(p.position, after) > 0)
            .OrderBy(p => p.position, StringComparer.Ordinal)
            .Take(limit + 1)
            .ToList();
        var more = found.Count > limit;
        if (more)
        {
            found.RemoveAt(limit);
        }

        var links = new LinkTable(engine, helper);
        return new
        {
            tickets = found.Select(p => Wire(p.ticket, links)).ToArray(),
            next = more ? found[found.Count - 1].position : string.Empty,
            asOf,
        };
    }

    private static object Create(IEngine engine, TicketingApiHelper helper, JObject body)
    {
        var set = Set(body);
        if (string.IsNullOrWhiteSpace((string)set["name"]))
        {
            throw new BadRequestException("name is missing");
        }

        var ticket = new Ticket();
        Fill(helper, ticket, set);
        helper.Tickets.Create(ticket);

        // Which of its members a create fills in is not documented: what is stored counts.
        return Wire(One(helper, ticket.Guid.ToString()), new LinkTable(engine, helper));
    }

    private static object Update(IEngine engine, TicketingApiHelper helper, string key, JObject body)
    {
        var ticket = One(helper, key);
        var set = Set(body);
        if (set["name"] != null && string.IsNullOrWhiteSpace((string)set["name"]))
        {
            throw new BadRequestException("name is missing");
        }

        Fill(helper, ticket, set);
        helper.Tickets.Update(ticket);
        return Wire(One(helper, key), new LinkTable(engine, helper));
    }

    // Sets what was sent and nothing else.
    private static void Fill(TicketingApiHelper helper, Ticket ticket, JObject set)
    {
        foreach (var member in set.Properties())
        {
            var text = member.Value.Type == JTokenType.Null ? string.Empty : (string)member.Value;
            switch (member.Name)
            {
                case "name":
                    ticket.Name = text;
                    break;
                case "description":
                    ticket.Description = text;
                    break;
                case "type":
                    ticket.Type = TypeCalled(helper, text);
                    break;
                case "state":
                    ticket.Status = Parse<TicketStatus>("state", text);
                    break;
                case "priority":
                    ticket.Priority = Parse<TicketPriority>("priority", text);
                    break;
                case "severity":
                    ticket.Severity = Parse<TicketSeverity>("severity", text);
                    break;
                case "requested_resolution":
                    ticket.RequestedResolutionDate = member.Value.Type == JTokenType.Null ? default(DateTime) : Instant((long)member.Value);
                    break;
                case "expected_resolution":
                    ticket.ExpectedResolutionDate = member.Value.Type == JTokenType.Null ? default(DateTime) : Instant((long)member.Value);
                    break;
                default:
                    if (!member.Name.StartsWith(External, StringComparison.Ordinal))
                    {
                        throw new BadRequestException(member.Name + " cannot be written");
                    }

                    SetExternal(helper, ticket, member.Name.Substring(External.Length), text);
                    break;
            }
        }
    }

    private static TicketType TypeCalled(TicketingApiHelper helper, string name)
    {
        var found = helper.TicketTypes.Read(new TRUEFilterElement<TicketType>()).FirstOrDefault(t => t.Name == name);
        if (found == null)
        {
            throw new BadRequestException("type has no value \"" + name + "\"");
        }

        return found;
    }

    // Replaces the id that a ticket has at one external owner; an empty one takes it away.
    private static void SetExternal(TicketingApiHelper helper, Ticket ticket, string name, string id)
    {
        var owner = helper.ExternalOwners.Read(new TRUEFilterElement<ExternalOwner>()).FirstOrDefault(o => o.Name == name);
        if (owner == null)
        {
            throw new BadRequestException("external owner not defined: " + name);
        }

        var kept = (ticket.ExternalIdentifiers ?? new List<ExternalIdentifier>()).Where(e => e.Owner == null || e.Owner.Name != name).ToList();
        if (id.Length > 0)
        {
            kept.Add(new ExternalIdentifier { Owner = owner, ExternalId = id });
        }

        ticket.ExternalIdentifiers = kept;
    }

    private static T Parse<T>(string path, string text)
        where T : struct
    {
        T value;
        if (text.Length == 0 || char.IsDigit(text[0]) || !Enum.TryParse(text, true, out value) || !Enum.IsDefined(typeof(T), value))
        {
            throw new BadRequestException(path + " has no value \"" + text + "\"");
        }

        return value;
    }

    private static object Notes(TicketingApiHelper helper, JObject body)
    {
        var limit = Limit(body);
        var since = (long?)body["since"] ?? 0;
        var after = (string)body["after"] ?? string.Empty;
        var asked = Texts(body["tickets"]);
        var tickets = asked == null ? null : new HashSet<string>(asked, StringComparer.OrdinalIgnoreCase);
        var found = helper.Notes.Read(new TRUEFilterElement<TicketNote>())
            .Where(n => n.Ticket != null && (tickets == null || tickets.Contains(n.Ticket.Guid.ToString())))
            .Where(n => Milliseconds(n.CreatedAt.ToUniversalTime()) >= since)
            .Select(n => new { position = Milliseconds(n.CreatedAt.ToUniversalTime()).ToString("D15", CultureInfo.InvariantCulture) + "/" + n.Guid, note = n })
            .Where(p => string.CompareOrdinal(p.position, after) > 0)
            .OrderBy(p => p.position, StringComparer.Ordinal)
            .Take(limit + 1)
            .ToList();
        var more = found.Count > limit;
        if (more)
        {
            found.RemoveAt(limit);
        }

        return new { notes = found.Select(p => Wire(p.note)).ToArray(), next = more ? found[found.Count - 1].position : string.Empty };
    }

    private static object AddNote(TicketingApiHelper helper, JObject body)
    {
        var text = (string)body["text"];
        if (string.IsNullOrEmpty(text))
        {
            throw new BadRequestException("text is missing");
        }

        var note = new TicketNote { Note = text, Ticket = One(helper, (string)body["ticket"]) };
        helper.Notes.Create(note);
        return Wire(note);
    }

    private static object Wire(TicketNote n)
    {
        return new { id = n.Guid.ToString(), ticket = n.Ticket.Guid.ToString(), text = n.Note, author = n.CreatedBy, at = Milliseconds(n.CreatedAt.ToUniversalTime()) };
    }

    private static object Wire(Ticket t, LinkTable links)
    {
        return new
        {
            guid = t.Guid.ToString(),
            id = t.ID,
            name = t.Name,
            description = t.Description,
            type = t.Type == null ? string.Empty : t.Type.Name,
            state = Camel(t.Status.ToString()),
            priority = Camel(t.Priority.ToString()),
            severity = Camel(t.Severity.ToString()),
            requestedResolution = MillisecondsOrNull(t.RequestedResolutionDate),
            expectedResolution = MillisecondsOrNull(t.ExpectedResolutionDate),
            createdAt = Milliseconds(t.CreatedAt.ToUniversalTime()),
            createdBy = t.CreatedBy,
            modifiedAt = Milliseconds(t.LastModified.ToUniversalTime()),
            modifiedBy = t.LastModifiedBy,
            external = (t.ExternalIdentifiers ?? new List<ExternalIdentifier>()).Where(e => e.Owner != null).Select(e => new { owner = e.Owner.Name, id = e.ExternalId }).ToArray(),
            links = links.Of(t),
        };
    }

    // What a search compares. Other paths are not searched for.
    private static string ValueOf(Ticket t, string path)
    {
        switch (path)
        {
            case "number":
                return t.ID;
            case "name":
                return t.Name;
            case "description":
                return t.Description;
            case "type":
                return t.Type == null ? string.Empty : t.Type.Name;
            case "state":
                return Camel(t.Status.ToString());
            case "priority":
                return Camel(t.Priority.ToString());
            case "severity":
                return Camel(t.Severity.ToString());
        }

        if (!path.StartsWith(External, StringComparison.Ordinal))
        {
            throw new BadRequestException("tickets cannot be searched by " + path);
        }

        var owner = path.Substring(External.Length);
        var found = (t.ExternalIdentifiers ?? new List<ExternalIdentifier>()).FirstOrDefault(e => e.Owner != null && e.Owner.Name == owner);
        return found == null ? string.Empty : found.ExternalId;
    }

    private static Ticket Found(TicketingApiHelper helper, string key)
    {
        Guid guid;
        return Guid.TryParse(key, out guid) ? helper.Tickets.Read(TicketExposers.Guid.Equal(guid)).FirstOrDefault() : null;
    }

    private static Ticket One(TicketingApiHelper helper, string key)
    {
        var found = Found(helper, key);
        if (found == null)
        {
            throw new NotThereException("ticket not found");
        }

        return found;
    }

    private static string Key(ApiTriggerInput requestData)
    {
        string key;
        if (requestData.QueryParameters == null || !requestData.QueryParameters.TryGetValue("id", out key))
        {
            throw new BadRequestException("id is missing");
        }

        return key;
    }

    private static JObject Set(JObject body)
    {
        var set = body["set"] as JObject;
        if (set == null)
        {
            throw new BadRequestException("set is missing");
        }

        return set;
    }

    private static int Limit(JObject body)
    {
        var limit = (int?)body["limit"] ?? 200;
        if (limit < 1 || limit > LargestPage)
        {
            throw new BadRequestException("limit: write a number from 1 to " + LargestPage);
        }

        return limit;
    }

    private static string[] Texts(JToken list)
    {
        return list == null || list.Type == JTokenType.Null ? null : list.Values<string>().ToArray();
    }

    // The wire has the solution's own names, beginning with a small letter.
    private static string Camel(string name)
    {
        return name.Length == 0 ? name : char.ToLowerInvariant(name[0]) + name.Substring(1);
    }

    private static string Position(Ticket t)
    {
        return Milliseconds(t.LastModified.ToUniversalTime()).ToString("D15", CultureInfo.InvariantCulture) + "/" + t.Guid;
    }

    private static readonly DateTime Epoch = new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    private static long Milliseconds(DateTime utc)
    {
        return (long)(utc - Epoch).TotalMilliseconds;
    }

    private static long? MillisecondsOrNull(DateTime time)
    {
        return time == default(DateTime) ? (long?)null : Milliseconds(time.ToUniversalTime());
    }

    private static DateTime Instant(long milliseconds)
    {
        return Epoch.AddMilliseconds(milliseconds);
    }

    private static JObject Body(ApiTriggerInput requestData)
    {
        try
        {
            return JObject.Parse(requestData.RawBody ?? string.Empty);
        }
        catch (JsonException)
        {
            throw new BadRequestException("the body is not a JSON object");
        }
    }

    private static ApiTriggerOutput Answer(StatusCode status, object body)
    {
        return new ApiTriggerOutput { ResponseCode = (int)status, ResponseBody = JsonConvert.SerializeObject(body) };
    }

    private static ApiTriggerOutput Complain(StatusCode status, string detail)
    {
        return Answer(status, new { errors = new[] { new { title = "The request could not be handled.", detail } } });
    }

    // The alarms that tickets are about. A ticket names an alarm by one of its records, which may not be the root: the tree is
    // looked up among the active alarms, and what is not there is taken for a root.
    private class LinkTable
    {
        private readonly ILookup<Guid, string> alarms;
        private readonly Dictionary<string, string> trees = new Dictionary<string, string>(StringComparer.Ordinal);

        public LinkTable(IEngine engine, TicketingApiHelper helper)
        {
            alarms = helper.AffectedResources.Read(new TRUEFilterElement<TicketAffectedResource>())
                .Where(r => r.Type == AffectedResourceType.Alarm && r.Ticket != null)
                .ToLookup(r => r.Ticket.Guid, r => r.Id);
            var answer = alarms.Count == 0 ? null : engine.SendSLNetSingleResponseMessage(new GetActiveAlarmsMessage(-1)) as ActiveAlarmsResponseMessage;
            foreach (var a in answer == null || answer.ActiveAlarms == null ? new AlarmEventMessage[0] : answer.ActiveAlarms)
            {
                if (a != null && a.TreeID != null)
                {
                    var place = a.TreeID.DataMinerID + "/" + a.TreeID.ElementID + "/";
                    trees[place + a.AlarmID] = place + a.TreeID.RootAlarmID;
                }
            }
        }

        public object[] Of(Ticket t)
        {
            var links = new List<object>();
            foreach (var id in alarms[t.Guid])
            {
                string tree;
                if (!trees.TryGetValue(id, out tree))
                {
                    tree = id;
                }

                links.Add(new { type = "alarm", id = tree });
                var cut = tree.LastIndexOf('/');
                if (cut > 0)
                {
                    links.Add(new { type = "element", id = tree.Substring(0, cut) });
                }
            }

            return links.ToArray();
        }
    }

    private class BadRequestException : Exception
    {
        public BadRequestException(string message)
            : base(message)
        {
        }
    }

    private class NotThereException : Exception
    {
        public NotThereException(string message)
            : base(message)
        {
        }
    }
}
