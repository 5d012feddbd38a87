// A host runs one of the scripts behind a web server, on the stand-ins of declarations.cs, so that the connector can be held
// against it. Its only argument is a port of this machine. Beside the routes of the script, /forget takes all tickets and
// alarms away, and /raise, /set and /clear are what happens to alarms. It ends when its input does.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using System.Text;
using System.Threading;
using Skyline.DataMiner.Automation;
using Skyline.DataMiner.Net;
using Skyline.DataMiner.Net.Apps.UserDefinableApis;
using Skyline.DataMiner.Net.Apps.UserDefinableApis.Actions;
using Skyline.DataMiner.Net.Messages;
using Skyline.DataMiner.SDM.Ticketing;
using Skyline.DataMiner.SDM.Ticketing.Models;

public static class Host
{
    public static void Main(string[] args)
    {
        var helper = new TicketingApiHelper(null);
        helper.TicketTypes.Create(new TicketType { Name = "Generic Issue" });
        helper.ExternalOwners.Create(new ExternalOwner { Name = "ServiceNow" });
        var listener = new HttpListener();
        listener.Prefixes.Add("http://127.0.0.1:" + args[0] + "/");
        listener.Start();
        new Thread(() => Serve(listener)) { IsBackground = true }.Start();
        Console.Out.WriteLine("serving");
        Console.Out.Flush();
        Console.In.ReadToEnd();
    }

    private static void Serve(HttpListener listener)
    {
        while (true)
        {
            var context = listener.GetContext();
            ThreadPool.QueueUserWorkItem(_ => Attend(context));
        }
    }

    // A client that went away is its own business; whatever else fails is for the test to read.
    private static void Attend(HttpListenerContext context)
    {
        try
        {
            Answer(context);
        }
        catch (Exception e)
        {
            Console.Error.WriteLine(e);
            context.Response.Abort();
        }
    }

    private static void Answer(HttpListenerContext context)
    {
        var request = context.Request;
        switch (request.Url.AbsolutePath)
        {
            case "/forget":
                TicketingApiHelper.Forget();
                Alarms.Forget();
                Reply(context, 200, "{}");
                return;
            case "/raise":
                Reply(context, 200, "{\"guid\":\"" + Alarms.Raise() + "\"}");
                return;
            case "/set":
                Alarms.Set(request.QueryString["key"], request.QueryString["name"], request.QueryString["value"]);
                Reply(context, 200, "{}");
                return;
            case "/clear":
                Alarms.Clear(request.QueryString["key"]);
                Reply(context, 200, "{}");
                return;
        }

        var input = new ApiTriggerInput
        {
            RequestMethod = (RequestMethod)Enum.Parse(typeof(RequestMethod), request.HttpMethod, true),
            Route = request.Url.AbsolutePath.Substring("/api/custom/".Length),
            RawBody = new StreamReader(request.InputStream, Encoding.UTF8).ReadToEnd(),
            QueryParameters = new Dictionary<string, string>(),
        };
        foreach (var name in request.QueryString.AllKeys)
        {
            input.QueryParameters[name] = request.QueryString[name];
        }

        var output = new Script().OnApiTrigger(new Engine(), input);
        Reply(context, output.ResponseCode, output.ResponseBody);
    }

    private static void Reply(HttpListenerContext context, int status, string text)
    {
        var body = Encoding.UTF8.GetBytes(text ?? string.Empty);
        context.Response.StatusCode = status;
        if (body.Length > 0)
        {
            context.Response.ContentType = "application/json; charset=utf-8";
            context.Response.ContentLength64 = body.Length;
            context.Response.OutputStream.Write(body, 0, body.Length);
        }

        context.Response.Close();
    }

    // The alarms of the stand-in: trees of records, the newest last.
    private static class Alarms
    {
        private static readonly List<List<AlarmEventMessage>> Trees = new List<List<AlarmEventMessage>>();
        private static int last = 48189;

        public static readonly string[] Properties = { "Incident Number", "Incident Status", "Ticket ID" };

        public static void Forget()
        {
            lock (Trees)
            {
                Trees.Clear();
            }
        }

        public static string Raise()
        {
            lock (Trees)
            {
                var id = ++last;
                var tree = new AlarmTreeID(157, 21, id);
                Trees.Add(new List<AlarmEventMessage>
                {
                    new AlarmEventMessage
                    {
                        TreeID = tree, AlarmID = id, ParameterName = "Input bitrate low", ElementName = "Headend 2", Severity = "Major", Status = "Open",
                        CreationTime = DateTime.UtcNow, TimeOfArrival = DateTime.UtcNow, Properties = new PropertyInfo[0],
                    },
                });
                return Key(tree);
            }
        }

        public static void Set(string key, string name, string value)
        {
            Change(key, a =>
            {
                var kept = a.Properties.Where(p => p.Name != name).ToList();
                if (value.Length > 0)
                {
                    kept.Add(new PropertyInfo { Name = name, Value = value });
                }

                a.Properties = kept.ToArray();
            });
        }

        public static void Clear(string key)
        {
            Change(key, a => a.Status = "Cleared");
        }

        // Every change is a record with another number.
        private static void Change(string key, Action<AlarmEventMessage> change)
        {
            lock (Trees)
            {
                var tree = Trees.Single(t => Key(t[0].TreeID) == key);
                var was = tree[tree.Count - 1];
                var now = new AlarmEventMessage
                {
                    TreeID = was.TreeID, AlarmID = ++last, ParameterName = was.ParameterName, ElementName = was.ElementName, Severity = was.Severity, Status = was.Status,
                    CreationTime = was.CreationTime, TimeOfArrival = DateTime.UtcNow, Properties = was.Properties,
                };
                change(now);
                tree.Add(now);
            }
        }

        public static AlarmEventMessage[] Active()
        {
            lock (Trees)
            {
                return Trees.Select(t => t[t.Count - 1]).Where(a => a.Status != "Cleared").ToArray();
            }
        }

        public static DMSMessage[] Records(string key)
        {
            lock (Trees)
            {
                return Trees.Where(t => Key(t[0].TreeID) == key).SelectMany(t => t).ToArray<DMSMessage>();
            }
        }

        public static string Key(AlarmTreeID id)
        {
            return id.DataMinerID + "/" + id.ElementID + "/" + id.RootAlarmID;
        }
    }

    private class Engine : IEngine
    {
        public void Log(string message)
        {
            Console.Error.WriteLine(message);
        }

        public IConnection GetUserConnection()
        {
            return null;
        }

        public DMSMessage[] SendSLNetMessage(DMSMessage message)
        {
            var asked = message as GetAlarmDetailsMessage;
            return asked == null ? new DMSMessage[0] : Alarms.Records(Alarms.Key(asked.Alarm));
        }

        public DMSMessage SendSLNetSingleResponseMessage(DMSMessage message)
        {
            if (message is GetInfoMessage)
            {
                return new GetPropertyConfigurationResponse { Properties = Alarms.Properties.Select(n => new PropertyConfig { Name = n, Type = "Alarm" }).ToArray() };
            }

            return new ActiveAlarmsResponseMessage { ActiveAlarms = Alarms.Active() };
        }

        public void SetAlarmProperties(AlarmTreeID alarm, string[] names, string[] values)
        {
            for (var i = 0; i < names.Length; i++)
            {
                Alarms.Set(Alarms.Key(alarm), names[i], values[i]);
            }
        }
    }
}
