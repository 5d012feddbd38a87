// Declarations of what the two scripts use of DataMiner's libraries, written by hand from public documentation and public
// samples, so that a compiler reads the scripts. Those of tickets keep what they are given, so that the script for tickets can be
// run. That the scripts agree with these lines does not say that the libraries do.

using System;
using System.Collections.Generic;
using System.Linq;

namespace Skyline.DataMiner.Net
{
    public interface IConnection
    {
    }

    public class AlarmTreeID
    {
        public AlarmTreeID(int agent, int element, int root)
        {
            DataMinerID = agent;
            ElementID = element;
            RootAlarmID = root;
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
            Alarm = alarm;
        }

        public AlarmTreeID Alarm { get; private set; }

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
        public abstract bool Holds(T item);
    }

    public class TRUEFilterElement<T> : FilterElement<T>
    {
        public override bool Holds(T item)
        {
            return true;
        }
    }

    public class ValueFilter<T, TField> : FilterElement<T>
    {
        private readonly Exposer<T, TField> exposer;
        private readonly Func<TField, bool> holds;

        public ValueFilter(Exposer<T, TField> exposer, Func<TField, bool> holds)
        {
            this.exposer = exposer;
            this.holds = holds;
        }

        public override bool Holds(T item)
        {
            return exposer.Values(item).Any(holds);
        }
    }

    public class Exposer<T, TField>
    {
        public Exposer(Func<T, IEnumerable<TField>> values)
        {
            Values = values;
        }

        public Func<T, IEnumerable<TField>> Values { get; private set; }
    }

    public static class ExposerExtensions
    {
        public static FilterElement<T> Equal<T, TField>(this Exposer<T, TField> exposer, TField value)
        {
            return new ValueFilter<T, TField>(exposer, v => EqualityComparer<TField>.Default.Equals(v, value));
        }

        public static FilterElement<T> GreaterThanOrEqual<T, TField>(this Exposer<T, TField> exposer, TField value)
        {
            return new ValueFilter<T, TField>(exposer, v => Comparer<TField>.Default.Compare(v, value) >= 0);
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

    // A store keeps copies, and hands copies out.
    public class Store<T> : IObservableRepository<T>
        where T : Kept
    {
        private readonly List<T> items = new List<T>();
        private DateTime last;
        private int made;

        public IEnumerable<T> Read(FilterElement<T> filter)
        {
            lock (items)
            {
                return items.Where(filter.Holds).Select(i => (T)i.Copy()).ToList();
            }
        }

        public void Create(T item)
        {
            lock (items)
            {
                item.Guid = Guid.NewGuid();
                item.CreatedAt = item.LastModified = Now();
                item.CreatedBy = item.LastModifiedBy = "SYSTEM";
                item.Number(++made);
                items.Add((T)item.Copy());
            }
        }

        public void Update(T item)
        {
            lock (items)
            {
                item.LastModified = Now();
                items[Place(item)] = (T)item.Copy();
            }
        }

        public void Delete(T item)
        {
            lock (items)
            {
                items.RemoveAt(Place(item));
            }
        }

        public void Clear()
        {
            lock (items)
            {
                items.Clear();
            }
        }

        private int Place(T item)
        {
            var i = items.FindIndex(k => k.Guid == item.Guid);
            if (i < 0)
            {
                throw new InvalidOperationException("no such item");
            }

            return i;
        }

        // No two changes have the same millisecond.
        private DateTime Now()
        {
            var now = DateTime.UtcNow;
            last = now > last.AddMilliseconds(1) ? now : last.AddMilliseconds(1);
            return last;
        }
    }

    public class TicketingApiHelper
    {
        private static readonly Store<Ticket> AllTickets = new Store<Ticket>();
        private static readonly Store<TicketType> AllTypes = new Store<TicketType>();
        private static readonly Store<TicketNote> AllNotes = new Store<TicketNote>();
        private static readonly Store<TicketAffectedResource> AllResources = new Store<TicketAffectedResource>();
        private static readonly Store<ExternalOwner> AllOwners = new Store<ExternalOwner>();

        public TicketingApiHelper(IConnection connection)
        {
        }

        public static void Forget()
        {
            AllTickets.Clear();
            AllNotes.Clear();
        }

        public IObservableRepository<Ticket> Tickets
        {
            get { return AllTickets; }
        }

        public IObservableRepository<TicketType> TicketTypes
        {
            get { return AllTypes; }
        }

        public IObservableRepository<TicketNote> Notes
        {
            get { return AllNotes; }
        }

        public IObservableRepository<TicketAffectedResource> AffectedResources
        {
            get { return AllResources; }
        }

        public IObservableRepository<ExternalOwner> ExternalOwners
        {
            get { return AllOwners; }
        }
    }

    public static class TicketExposers
    {
        public static readonly Exposer<Ticket, Guid> Guid = new Exposer<Ticket, Guid>(t => new[] { t.Guid });
        public static readonly Exposer<Ticket, string> ID = new Exposer<Ticket, string>(t => new[] { t.ID });
        public static readonly Exposer<Ticket, DateTime> LastModified = new Exposer<Ticket, DateTime>(t => new[] { t.LastModified });

        public static class ExternalIdentifiers
        {
            public static readonly Exposer<Ticket, string> ExternalId = new Exposer<Ticket, string>(t => (t.ExternalIdentifiers ?? new List<ExternalIdentifier>()).Select(e => e.ExternalId));
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

    // Kept is what the stand-ins have in common.
    public class Kept
    {
        public Guid Guid { get; set; }

        public DateTime LastModified { get; set; }

        public string LastModifiedBy { get; set; }

        public DateTime CreatedAt { get; set; }

        public string CreatedBy { get; set; }

        public Kept Copy()
        {
            return (Kept)MemberwiseClone();
        }

        public virtual void Number(int n)
        {
        }
    }

    public class TicketType : Kept
    {
        public string Name { get; set; }
    }

    public class ExternalOwner : Kept
    {
        public string Name { get; set; }
    }

    public class ExternalIdentifier
    {
        public ExternalOwner Owner { get; set; }

        public string ExternalId { get; set; }
    }

    public class Ticket : Kept
    {
        public string ID { get; set; }

        public string Name { get; set; }

        public string Description { get; set; }

        public TicketType Type { get; set; }

        public TicketStatus Status { get; set; }

        public TicketPriority Priority { get; set; }

        public TicketSeverity Severity { get; set; }

        public DateTime RequestedResolutionDate { get; set; }

        public DateTime ExpectedResolutionDate { get; set; }

        public IList<ExternalIdentifier> ExternalIdentifiers { get; set; }

        public override void Number(int n)
        {
            ID = "TICKET-" + n.ToString("D6");
        }
    }

    public class TicketNote : Kept
    {
        public string Note { get; set; }

        public Ticket Ticket { get; set; }
    }

    public class TicketAffectedResource : Kept
    {
        public string Id { get; set; }

        public string Name { get; set; }

        public AffectedResourceType Type { get; set; }

        public string State { get; set; }

        public Ticket Ticket { get; set; }
    }
}
