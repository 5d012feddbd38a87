// A host runs the script for tickets behind a web server, on the stand-ins of declarations.cs, so that the connector can be
// held against it. Its only argument is a port of this machine; /forget takes all tickets away. It ends when its input does.

using System;
using System.Collections.Generic;
using System.IO;
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
            ThreadPool.QueueUserWorkItem(_ => Answer(context));
        }
    }

    private static void Answer(HttpListenerContext context)
    {
        var request = context.Request;
        if (request.Url.AbsolutePath == "/forget")
        {
            TicketingApiHelper.Forget();
            context.Response.Close();
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
        var body = Encoding.UTF8.GetBytes(output.ResponseBody ?? string.Empty);
        context.Response.StatusCode = output.ResponseCode;
        if (body.Length > 0)
        {
            context.Response.ContentType = "application/json; charset=utf-8";
            context.Response.ContentLength64 = body.Length;
            context.Response.OutputStream.Write(body, 0, body.Length);
        }

        context.Response.Close();
    }

    // An Engine knows of no alarms.
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
            return new DMSMessage[0];
        }

        public DMSMessage SendSLNetSingleResponseMessage(DMSMessage message)
        {
            return null;
        }

        public void SetAlarmProperties(AlarmTreeID alarm, string[] names, string[] values)
        {
        }
    }
}
