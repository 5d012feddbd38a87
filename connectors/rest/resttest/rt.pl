# Makes what tests need in a new database of Request Tracker, and prints the keys as JSON: of root, and of an account that
# has the rights that the description of Request Tracker asks for, in every queue, and no others.
use strict;
use warnings;
use lib '/usr/share/request-tracker5/lib';
use JSON;
use RT;

RT::LoadConfig();
RT::Init();

sub must {
    my ($what, $id, $said) = @_;
    die "$what: $said\n" unless $id;
    return $id;
}

sub key {
    my ($user) = @_;
    my $token = RT::AuthToken->new(RT->SystemUser);
    my ($id, $said, $value) = $token->Create(Owner => $user->Id, Description => 'fieldsync');
    must('token', $id, $said);
    return $value;
}

my $root = RT::User->new(RT->SystemUser);
must('root', $root->Load('root'));

my $user = RT::User->new(RT->SystemUser);
must('user', $user->Create(Name => 'fieldsync', EmailAddress => 'fieldsync@example.com', Privileged => 1, Timezone => 'UTC'));
for my $right (qw(SeeQueue ShowTicket ShowTicketComments CreateTicket ModifyTicket OwnTicket CommentOnTicket ReplyToTicket
    SeeCustomField ModifyCustomField DeleteTicket)) {
    must($right, $user->PrincipalObj->GrantRight(Right => $right, Object => $RT::System));
}

for my $field (['External ID', 'FreeformSingle'], ['Incident', 'FreeformSingle'], ['Details', 'TextSingle']) {
    my ($name, $type) = @$field;
    my $cf = RT::CustomField->new(RT->SystemUser);
    must($name, $cf->Create(Name => $name, Type => $type, LookupType => 'RT::Queue-RT::Ticket'));
    must($name, $cf->AddToObject(RT::Queue->new(RT->SystemUser))); # no queue in particular: all of them
}

print encode_json({ Admin => key($root), Key => key($user) });
