// Declarations of what the scripts use of Newtonsoft.Json, for a compiler on a machine that does not have it. They do nothing.

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
