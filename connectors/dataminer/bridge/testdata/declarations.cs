// Declarations of what the two scripts use of DataMiner's libraries and of Newtonsoft.Json, written by hand from public
// documentation and public samples, so that a compiler reads the scripts. They do nothing. That the scripts compile against
// them says that the scripts are C# and agree with these lines; it does not say that the libraries do.

using System;
using System.Collections.Generic;

namespace Newtonsoft.Json
{
    public class JsonException : Exception
    {
    }

    public static class JsonConvert
    {
        public static string SerializeObject(object value)
        {
            return null;
        }
    }
}

namespace Newtonsoft.Json.Linq
{
    public enum JTokenType
    {
        None,
        Object,
        Array,
        Integer,
        String,
        Boolean,
        Null,
    }

    public class JToken
    {
        public JTokenType Type
        {
            get { return JTokenType.None; }
        }

        public JToken this[object key]
        {
            get { return null; }
        }

        public static explicit operator string(JToken t)
        {
            return null;
        }

        public static explicit operator int(JToken t)
        {
            return 0;
        }

        public static explicit operator int?(JToken t)
        {
            return null;
        }

        public static explicit operator long(JToken t)
        {
            return 0;
        }

        public static explicit operator long?(JToken t)
        {
            return null;
        }

        public static explicit operator bool?(JToken t)
        {
            return null;
        }

        public IEnumerable<T> Values<T>()
        {
            return null;
        }

        public T ToObject<T>()
        {
            return default(T);
        }
    }

    public class JProperty : JToken
    {
        public string Name
        {
            get { return null; }
        }

        public JToken Value
        {
            get { return null; }
        }
    }

    public class JObject : JToken
    {
        public static JObject Parse(string text)
        {
            return null;
        }

        public IEnumerable<JProperty> Properties()
        {
            return null;
        }
    }

    public class JArray : JToken, IEnumerable<JToken>
    {
        public IEnumerator<JToken> GetEnumerator()
        {
            return null;
        }

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator()
        {
            return null;
        }
    }
}

namespace Skyline.DataMiner.Net
{
    public interface IConnection
    {
    }

    public class AlarmTreeID
    {
        public AlarmTreeID(int agent, int element, int root)
        {
        }

        public int DataMinerID { get; set; }

        public int ElementID { get; set; }

        public int RootAlarmID { get; set; }
    }
}

namespace Skyline.DataMiner.Automation
{
    using Skyline.DataMiner.Net;
    using Skyline.DataMiner.Net.Messages;

    public interface IEngine
    {
        void Log(string message);

        IConnection GetUserConnection();

        DMSMessage[] SendSLNetMessage(DMSMessage message);

        DMSMessage SendSLNetSingleResponseMessage(DMSMessage message);

        void SetAlarmProperties(AlarmTreeID alarm, string[] names, string[] values);
    }

    public static class AutomationEntryPointType
    {
        public enum Types
        {
            OnApiTrigger,
        }
    }

    [AttributeUsage(AttributeTargets.Method)]
    public class AutomationEntryPointAttribute : Attribute
    {
        public AutomationEntryPointAttribute(AutomationEntryPointType.Types type)
        {
        }
    }
}

namespace Skyline.DataMiner.Net.Apps.UserDefinableApis
{
    public enum RequestMethod
    {
        Unspecified,
        Get,
        Put,
        Post,
        Delete,
    }

    public enum StatusCode
    {
        Ok = 200,
        Created = 201,
        NoContent = 204,
        BadRequest = 400,
        NotFound = 404,
        InternalServerError = 500,
    }
}

namespace Skyline.DataMiner.Net.Apps.UserDefinableApis.Actions
{
    public class ApiTriggerInput
    {
        public RequestMethod RequestMethod { get; set; }

        public string Route { get; set; }

        public string RawBody { get; set; }

        public Dictionary<string, string> QueryParameters { get; set; }
    }

    public class ApiTriggerOutput
    {
        public int ResponseCode { get; set; }

        public string ResponseBody { get; set; }
    }
}

namespace Skyline.DataMiner.Net.Messages
{
    public class DMSMessage
    {
    }

    public enum InfoType
    {
        PropertyConfiguration,
    }

    public class GetInfoMessage : DMSMessage
    {
        public GetInfoMessage(InfoType type)
        {
        }
    }

    public class PropertyConfig
    {
        public string Name { get; set; }

        public string Type { get; set; }
    }

    public class GetPropertyConfigurationResponse : DMSMessage
    {
        public PropertyConfig[] Properties { get; set; }
    }

    public class GetActiveAlarmsMessage : DMSMessage
    {
        public GetActiveAlarmsMessage(int agent)
        {
        }
    }

    public class ActiveAlarmsResponseMessage : DMSMessage
    {
        public AlarmEventMessage[] ActiveAlarms { get; set; }
    }

    public class AlarmFilter
    {
    }

    public class GetAlarmDetailsFromDbMessage : DMSMessage
    {
        public DateTime StartTime { get; set; }

        public DateTime EndTime { get; set; }

        public bool AlarmTable { get; set; }

        public AlarmFilter Filter { get; set; }
    }

    public class GetAlarmDetailsMessage : DMSMessage
    {
        public GetAlarmDetailsMessage(AlarmTreeID alarm)
        {
        }

        public bool RequestFullTree { get; set; }
    }

    public class PropertyInfo
    {
        public string Name { get; set; }

        public string Value { get; set; }
    }

    public class AlarmEventMessage : DMSMessage
    {
        public AlarmTreeID TreeID { get; set; }

        public int AlarmID { get; set; }

        public string ParameterName { get; set; }

        public string ElementName { get; set; }

        public string Severity { get; set; }

        public string Status { get; set; }

        public DateTime CreationTime { get; set; }

        public DateTime TimeOfArrival { get; set; }

        public PropertyInfo[] Properties { get; set; }
    }
}

namespace Skyline.DataMiner.Net.Messages.SLDataGateway
{
    public abstract class FilterElement<T>
    {
    }

    public class TRUEFilterElement<T> : FilterElement<T>
    {
    }

    public class Exposer<T, TField>
    {
    }

    public static class ExposerExtensions
    {
        public static FilterElement<T> Equal<T, TField>(this Exposer<T, TField> exposer, TField value)
        {
            return null;
        }

        public static FilterElement<T> GreaterThanOrEqual<T, TField>(this Exposer<T, TField> exposer, TField value)
        {
            return null;
        }
    }
}

namespace Skyline.DataMiner.SDM.Ticketing
{
    using Skyline.DataMiner.Net;
    using Skyline.DataMiner.Net.Messages.SLDataGateway;
    using Skyline.DataMiner.SDM.Ticketing.Models;

    public interface IObservableRepository<T>
    {
        IEnumerable<T> Read(FilterElement<T> filter);

        void Create(T item);

        void Update(T item);

        void Delete(T item);
    }

    public class TicketingApiHelper
    {
        public TicketingApiHelper(IConnection connection)
        {
        }

        public IObservableRepository<Ticket> Tickets { get; set; }

        public IObservableRepository<TicketType> TicketTypes { get; set; }

        public IObservableRepository<TicketNote> Notes { get; set; }

        public IObservableRepository<TicketAffectedResource> AffectedResources { get; set; }

        public IObservableRepository<ExternalOwner> ExternalOwners { get; set; }
    }

    public static class TicketExposers
    {
        public static readonly Exposer<Ticket, Guid> Guid = null;
        public static readonly Exposer<Ticket, string> ID = null;
        public static readonly Exposer<Ticket, DateTime> LastModified = null;

        public static class ExternalIdentifiers
        {
            public static readonly Exposer<Ticket, string> ExternalId = null;
        }
    }
}

namespace Skyline.DataMiner.SDM.Ticketing.Models
{
    public enum TicketStatus
    {
        Acknowledged,
        InProgress,
        Rejected,
        Resolved,
        Cancelled,
        Closed,
        Pending,
        Held,
    }

    public enum TicketPriority
    {
        Critical,
        High,
        Medium,
        Low,
    }

    public enum TicketSeverity
    {
        Critical,
        Major,
        Minor,
    }

    public enum AffectedResourceType
    {
        Alarm,
    }

    public class TicketType
    {
        public string Name { get; set; }
    }

    public class ExternalOwner
    {
        public string Name { get; set; }
    }

    public class ExternalIdentifier
    {
        public ExternalOwner Owner { get; set; }

        public string ExternalId { get; set; }
    }

    public class Ticket
    {
        public Guid Guid { get; set; }

        public string ID { get; set; }

        public string Name { get; set; }

        public string Description { get; set; }

        public TicketType Type { get; set; }

        public TicketStatus Status { get; set; }

        public TicketPriority Priority { get; set; }

        public TicketSeverity Severity { get; set; }

        public DateTime RequestedResolutionDate { get; set; }

        public DateTime ExpectedResolutionDate { get; set; }

        public DateTime LastModified { get; set; }

        public string LastModifiedBy { get; set; }

        public DateTime CreatedAt { get; set; }

        public string CreatedBy { get; set; }

        public IList<ExternalIdentifier> ExternalIdentifiers { get; set; }
    }

    public class TicketNote
    {
        public Guid Guid { get; set; }

        public string Note { get; set; }

        public Ticket Ticket { get; set; }

        public DateTime CreatedAt { get; set; }

        public string CreatedBy { get; set; }
    }

    public class TicketAffectedResource
    {
        public string Id { get; set; }

        public string Name { get; set; }

        public AffectedResourceType Type { get; set; }

        public string State { get; set; }

        public Ticket Ticket { get; set; }
    }
}
