package mapping

type syncBody struct{}
