// FieldSyncBridge answers the calls of fieldsync's bridge: a User-Defined API for what the Web Services of DataMiner have no
// method for, the properties of alarms. README.md says how to publish it. It was written against public documentation: the tests
// run it under Mono on stand-ins written by hand, and it has never met DataMiner's libraries, nor an Agent.
//
// One script serves all routes. It keeps nothing between calls, and writes only what differs: every property that is set
// makes a record in the tree of its alarm.

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

public class Script
{
    private const int Contract = 1;
    private const int LargestPage = 1000;
    private const int KeptDays = 7; // how long alarms that have cleared are listed where somebody asks for them

    [AutomationEntryPoint(AutomationEntryPointType.Types.OnApiTrigger)]
    public ApiTriggerOutput OnApiTrigger(IEngine engine, ApiTriggerInput requestData)
    {
        try
        {
            var call = requestData.RequestMethod.ToString().ToUpperInvariant() + " " + requestData.Route.Trim('/').ToLowerInvariant();
            switch (call)
            {
                case "GET fieldsync/info":
                    return Answer(StatusCode.Ok, Info(engine));
                case "POST fieldsync/alarms":
                    return Answer(StatusCode.Ok, Alarms(engine, Body(requestData)));
                case "POST fieldsync/alarm-properties":
                    return Answer(StatusCode.Ok, SetProperties(engine, Body(requestData)));
                default:
                    return Complain(StatusCode.NotFound, "this script does not serve " + call);
            }
        }
        catch (BadRequestException e)
        {
            return Complain(StatusCode.BadRequest, e.Message);
        }
        catch (Exception e)
        {
            // The message alone: what called what is for the log of the Agent.
            engine.Log("fieldsync bridge: " + e);
            return Complain(StatusCode.InternalServerError, e.GetType().Name + ": " + e.Message);
        }
    }

    // What this system is, the clock, and the alarm properties that are defined, spelled as they are.
    private static object Info(IEngine engine)
    {
        return new
        {
            contract = Contract,
            dataminer = string.Empty,
            ticketing = "none",
            timeUTC = Milliseconds(DateTime.UtcNow),
            alarmProperties = DefinedProperties(engine),
        };
    }

    private static string[] DefinedProperties(IEngine engine)
    {
        var answer = engine.SendSLNetSingleResponseMessage(new GetInfoMessage(InfoType.PropertyConfiguration)) as GetPropertyConfigurationResponse;
        if (answer == null || answer.Properties == null)
        {
            throw new InvalidOperationException("the definitions of properties could not be read");
        }

        return answer.Properties
            .Where(p => string.Equals(p.Type, "Alarm", StringComparison.OrdinalIgnoreCase))
            .Select(p => p.Name)
            .Distinct()
            .OrderBy(n => n, StringComparer.Ordinal)
            .ToArray();
    }

    // A page of alarms by last change and then key.
    private static object Alarms(IEngine engine, JObject body)
    {
        var asOf = Milliseconds(DateTime.UtcNow); // before the look, so that what changes during it is seen again
        var limit = (int?)body["limit"] ?? 200;
        if (limit < 1 || limit > LargestPage)
        {
            throw new BadRequestException("limit: write a number from 1 to " + LargestPage);
        }

        var since = (long?)body["since"] ?? 0;
        var after = (string)body["after"] ?? string.Empty;
        var cleared = (bool?)body["cleared"] ?? false;
        var property = (string)body["property"] ?? string.Empty;
        var ids = body["ids"] == null ? null : body["ids"].Values<string>().ToArray();
        var values = new HashSet<string>(body["values"] == null ? Enumerable.Empty<string>() : body["values"].Values<string>(), StringComparer.Ordinal);
        if (property.Length > 0 && !DefinedProperties(engine).Contains(property))
        {
            throw new BadRequestException("property not defined: " + property);
        }

        var trees = ids == null ? Listed(engine, cleared) : ids.Select(id => Tree(engine, id)).Where(a => a != null);
        var found = trees
            .Where(a => cleared || !IsCleared(a))
            .Where(a => Changed(a) >= since)
            .Where(a => property.Length == 0 || values.Contains(ValueOf(a, property)))
            .Select(a => new { position = Position(a), alarm = a })
            .Where(p => string.CompareOrdinal(p.position, after) > 0)
            .OrderBy(p => p.position, StringComparer.Ordinal)
            .Take(limit + 1)
            .ToList();
        var more = found.Count > limit;
        if (more)
        {
            found.RemoveAt(limit);
        }

        return new
        {
            alarms = found.Select(p => Wire(p.alarm)).ToArray(),
            next = more ? found[found.Count - 1].position : string.Empty,
            asOf,
        };
    }

    // The newest record of each active tree and, where they are asked for, of those that had a record in the last days.
    private static IEnumerable<AlarmEventMessage> Listed(IEngine engine, bool cleared)
    {
        var answer = engine.SendSLNetSingleResponseMessage(new GetActiveAlarmsMessage(-1)) as ActiveAlarmsResponseMessage;
        if (answer == null || answer.ActiveAlarms == null)
        {
            // No list is no empty list: everything would look gone.
            throw new InvalidOperationException("the active alarms could not be read");
        }

        IEnumerable<AlarmEventMessage> records = answer.ActiveAlarms;
        if (cleared)
        {
            var now = DateTime.Now;
            var history = engine.SendSLNetMessage(new GetAlarmDetailsFromDbMessage
            {
                StartTime = now.AddDays(-KeptDays),
                EndTime = now,
                AlarmTable = true,
                Filter = new AlarmFilter(),
            });
            records = records.Concat((history ?? new DMSMessage[0]).OfType<AlarmEventMessage>());
        }

        return records
            .Where(a => a != null && a.TreeID != null)
            .GroupBy(Key)
            .Select(g => g.OrderBy(a => a.AlarmID).Last());
    }

    // The newest record of one tree, also of one that has cleared; null where there is none.
    private static AlarmEventMessage Tree(IEngine engine, string key)
    {
        var parts = key.Split('/');
        int agent, element, root;
        if (parts.Length != 3 || !int.TryParse(parts[0], out agent) || !int.TryParse(parts[1], out element) || !int.TryParse(parts[2], out root))
        {
            return null;
        }

        return Tree(engine, new AlarmTreeID(agent, element, root));
    }

    private static AlarmEventMessage Tree(IEngine engine, AlarmTreeID id)
    {
        var answer = engine.SendSLNetMessage(new GetAlarmDetailsMessage(id) { RequestFullTree = true });
        return answer == null ? null : answer.OfType<AlarmEventMessage>().OrderBy(a => a.AlarmID).LastOrDefault();
    }

    // Sets properties of several alarms, each for itself.
    private static object SetProperties(IEngine engine, JObject body)
    {
        var defined = new HashSet<string>(DefinedProperties(engine), StringComparer.Ordinal);
        var asked = body["alarms"] as JArray;
        if (asked == null)
        {
            throw new BadRequestException("alarms is missing");
        }

        return new { alarms = asked.Cast<JObject>().Select(item => SetOne(engine, defined, item)).ToArray() };
    }

    private static object SetOne(IEngine engine, HashSet<string> defined, JObject item)
    {
        try
        {
            var id = new AlarmTreeID((int)item["dma"], (int)item["element"], (int)item["root"]);
            var wanted = item["set"].ToObject<Dictionary<string, string>>();
            var unknown = wanted.Keys.FirstOrDefault(n => !defined.Contains(n));
            if (unknown != null)
            {
                return Failed("property not defined: " + unknown);
            }

            var alarm = Tree(engine, id);
            if (alarm == null)
            {
                return Failed("alarm not found");
            }

            if (IsCleared(alarm) && !((bool?)item["cleared"] ?? false))
            {
                return Failed("alarm cleared");
            }

            var differing = wanted.Where(w => ValueOf(alarm, w.Key) != (w.Value ?? string.Empty)).ToArray();
            if (differing.Length > 0)
            {
                engine.SetAlarmProperties(id, differing.Select(d => d.Key).ToArray(), differing.Select(d => d.Value ?? string.Empty).ToArray());
            }

            return new { ok = true, changed = differing.Length > 0 };
        }
        catch (Exception e)
        {
            engine.Log("fieldsync bridge: " + e);
            return Failed(e.Message);
        }
    }

    private static object Failed(string error)
    {
        return new { ok = false, changed = false, error };
    }

    private static object Wire(AlarmEventMessage a)
    {
        var properties = new Dictionary<string, string>();
        foreach (var p in a.Properties ?? new PropertyInfo[0])
        {
            if (!string.IsNullOrEmpty(p.Value))
            {
                properties[p.Name] = p.Value;
            }
        }

        return new
        {
            dma = a.TreeID.DataMinerID,
            element = a.TreeID.ElementID,
            root = a.TreeID.RootAlarmID,
            name = a.ParameterName,
            elementName = a.ElementName,
            severity = a.Severity,
            cleared = IsCleared(a),
            modifiedAt = Changed(a),
            revision = a.AlarmID, // every change makes a record with a higher id
            properties,
        };
    }

    private static string ValueOf(AlarmEventMessage a, string name)
    {
        var found = (a.Properties ?? new PropertyInfo[0]).FirstOrDefault(p => p.Name == name);
        return found == null ? string.Empty : found.Value ?? string.Empty;
    }

    private static bool IsCleared(AlarmEventMessage a)
    {
        return string.Equals(a.Status, "Cleared", StringComparison.OrdinalIgnoreCase);
    }

    private static string Key(AlarmEventMessage a)
    {
        return a.TreeID.DataMinerID + "/" + a.TreeID.ElementID + "/" + a.TreeID.RootAlarmID;
    }

    private static string Position(AlarmEventMessage a)
    {
        return Changed(a).ToString("D15", CultureInfo.InvariantCulture) + "/" + Key(a);
    }

    // The time of the newest record: which of its two times moves with every change is not documented, so the later one counts.
    // ToUniversalTime leaves a time in UTC as it is and takes any other for one of this Agent.
    private static long Changed(AlarmEventMessage a)
    {
        return Math.Max(Milliseconds(a.CreationTime.ToUniversalTime()), Milliseconds(a.TimeOfArrival.ToUniversalTime()));
    }

    private static long Milliseconds(DateTime utc)
    {
        return (long)(utc - new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc)).TotalMilliseconds;
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

    // The form that DataMiner's own endpoint uses, without a code, which is the endpoint's.
    private static ApiTriggerOutput Complain(StatusCode status, string detail)
    {
        return Answer(status, new { errors = new[] { new { title = "The request could not be handled.", detail } } });
    }

    private class BadRequestException : Exception
    {
        public BadRequestException(string message)
            : base(message)
        {
        }
    }
}
